"""What was compiled for each hardware profile and how it was proven, as numbers (`facts`) and as a page (`page`)."""
