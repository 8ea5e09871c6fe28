model_in *model_input(void)
{
    return INPUT;
}

void model_run(const model_in *input, model_out *output)
{
    if (input != INPUT) memcpy(INPUT, input, MODEL_INPUT_SIZE * sizeof *input);
    network();
$outputs}
