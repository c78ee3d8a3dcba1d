#include "config.h"

#include "proto/command.h"
