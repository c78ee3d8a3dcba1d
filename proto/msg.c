#include "config.h"

#include "proto/msg.h"
