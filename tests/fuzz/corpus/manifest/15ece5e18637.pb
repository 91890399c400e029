u8horse 2
u8:B	
I32u8J@6b610ed2adaebeeedea8ee1765a7c72c146a27eb5ef97b9fb3d4749cd237eaa3PZ