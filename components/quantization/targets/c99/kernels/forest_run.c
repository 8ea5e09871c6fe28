void model_run(model_state *state, const int16_t raw[MODEL_STEPS][MODEL_CHANNELS], model_result *result)
{
    int32_t logits[MOST_CLASSES];
    read_regimes(raw);
    read_features(state, raw);
$asks    follow_alarm(state, result->surprise >= MODEL_THRESHOLD);
    result->alarm = state->alarm;
}
