static node node_at(uint32_t at)
{
    const uint8_t *byte = NODE + at * NODE_BYTES;
    node asked = 0;
    for (int i = 0; i < NODE_BYTES; i++) asked |= (node)byte[i] << 8 * i;
    return asked;
}

