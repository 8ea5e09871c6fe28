// Whether this board computes what the model was proven to: the number of vectors that came out wrong, 0 on a sound one.
#include <model.h>

void setup()
{
    Serial.begin(115200);
    Serial.print("mismatches ");
    Serial.println(model_selftest());
}

void loop() {}
