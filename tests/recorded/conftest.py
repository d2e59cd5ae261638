from tests.recorded.cuda_stand_in import device as device
