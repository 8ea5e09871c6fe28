static node node_at(uint32_t at)
{
    return NODE[at];
}

