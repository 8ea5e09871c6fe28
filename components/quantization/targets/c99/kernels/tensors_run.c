int8_t *model_input(void)
{
    return INPUT;
}

void model_run(const int8_t *input, int8_t *output)
{
    if (input != INPUT) memcpy(INPUT, input, MODEL_INPUT_SIZE);
    network();
$outputs}
