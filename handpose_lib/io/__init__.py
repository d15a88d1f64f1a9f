"""Reading and writing files: JSON, safetensors, HDF5, PNG, MATLAB; digests of code; a background
thread.
"""
