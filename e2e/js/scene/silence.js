// Preloaded, because modules of the SDK take their loggers with them as they are
// loaded: the SDK's logger, and its descendants, for what belongs to no client.

import { logger } from "matrix-js-sdk/lib/logger.js";

logger.methodFactory = () => () => {};
logger.rebuild();
