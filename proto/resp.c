#include "config.h"

#include "proto/resp.h"
