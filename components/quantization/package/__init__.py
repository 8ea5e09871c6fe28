"""A proven artefact as one archive for a firmware engineer, and the image that their build makes of it.

`build.build_package` puts artefact, sources, golden vectors, bill of materials and description into an archive that is the
same to the byte whenever its inputs are; `check.open_package` reads one without trusting it. For C99 the archive is a
library for CMake, Arduino, PlatformIO and ESP-IDF (`library`), with the verifier of signed images in `verifier/`.
`image.attach_image` binds a firmware image to the artefact that it was made from.
"""
