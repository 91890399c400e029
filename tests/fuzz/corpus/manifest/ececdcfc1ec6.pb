bf16horse (2H
adapter
channels_in
channels_out
layers
kernel:B
betaf16B
convolutions.0.biasf16 B$
convolutions.0.weightf16 
B 
convolutions.1.biasf16 ªB%
convolutions.1.weightf16 ²J@6b610ed2adaebeeedea8ee1765a7c72c146a27eb5ef97b9fb3d4749c27ed3aa4P	Zz
..z
I32.z
U8.