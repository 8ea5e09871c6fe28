
int model_class(const int32_t margins[MODEL_OUTPUTS])
{
    int best = 0;
    for (int i = 1; i < MODEL_OUTPUTS; i++)
        if (margins[i] > margins[best]) best = i;
    return best;
}
