"""What the data scripts share: downloads, unpacking, verification."""
