int model_push(model_state *state, model_stream *stream, const int16_t sample[MODEL_CHANNELS], model_result *result)
{
    const int kept = MODEL_STRIDE < MODEL_STEPS ? MODEL_STEPS - MODEL_STRIDE : 0;
    if (model_calibrate(state, sample)) return 0;
    if (stream->skip > 0) {
        stream->skip--;
        return 0;
    }
    memcpy(stream->window[stream->filled], sample, sizeof stream->window[0]);
    if (++stream->filled < MODEL_STEPS) return 0;
    model_run(state, (const int16_t(*)[MODEL_CHANNELS])stream->window, result);
    for (int t = 0; t < kept; t++) memcpy(stream->window[t], stream->window[t + MODEL_STRIDE], sizeof stream->window[0]);
    stream->filled = (uint16_t)kept;
    stream->skip = (uint16_t)(MODEL_STRIDE > MODEL_STEPS ? MODEL_STRIDE - MODEL_STEPS : 0);
    return 1;
}
