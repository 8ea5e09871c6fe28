/* Where the input of one output begins: in the image where it lies in one piece or where ``apart``, the distances of its
   rows and columns, is asked for and no part of it is outside; else gathered into ``copy``, in one piece. */
static const $code *patch_of${n}(const layer${n} *restrict l, const $code *x, int output, $code *copy, int32_t *apart)
{
    const int channels = l->in_channels, width = l->in_width, columns = l->kernel_width, rows = ONE_ROW ? 1 : l->kernel_height;
    const int at_y = ONE_ROW ? 0 : output / l->out_width, at_x = ONE_ROW ? output : output % l->out_width;
    const int y0 = ONE_ROW ? 0 : at_y * l->stride_y - l->before_y, x0 = at_x * l->stride_x - l->before_x;
    const int inside_x = x0 >= 0 && x0 + (columns - 1) * l->dilation_x < width;
    const int inside = inside_x && (ONE_ROW || (y0 >= 0 && y0 + (rows - 1) * l->dilation_y < l->in_height));
    const int32_t row = l->dilation_y * width * channels, column = l->dilation_x * channels, packed = columns * channels;
    const int whole = inside && l->dilation_x == 1, pieces = whole ? 1 : columns;
    const size_t size = (size_t)(whole ? packed : channels);
    $code *to = copy;
    if (apart) {
        apart[0] = inside ? row : packed;
        apart[1] = inside ? column : channels;
    }
    if (inside && (apart || ((columns == 1 || column == channels) && (rows == 1 || row == packed))))
        return x + (y0 * width + x0) * channels;
    for (int i = 0, y = y0; i < rows; i++, y += l->dilation_y)
        for (int j = 0, at = x0; j < pieces; j++, at += l->dilation_x, to += size) {
            if ((!ONE_ROW && (y < 0 || y >= l->in_height)) || at < 0 || at >= width) memset(to, $outside, size * sizeof *to);
            else memcpy(to, x + (y * width + at) * channels, size * sizeof *to);
        }
    return copy;
}
