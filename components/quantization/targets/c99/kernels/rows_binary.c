
int model_class(const int32_t margins[MODEL_OUTPUTS])
{
    return margins[0] > 0;
}
