import { type ErrorTable, holdsFor } from './base/codes/code-table.js';
import type { ErrorTables, WarningTables } from './base/codes/code-tables.js';
import type { CounterTables } from './base/codes/counter-tables.js';
import { LIBRARY_COUNTERS } from './base/codes/library-counters.js';
import { LIBRARY_ERRORS } from './base/codes/library-errors.js';
import { LIBRARY_WARNINGS } from './base/codes/library-warnings.js';
import { SHORTAGES } from './base/codes/shortages.js';
import { isProvisionerError, systemCode } from './base/errors.js';
import { CONTAINERIZER_ERRORS } from './containerizer/codes.js';
import { REGISTRY_ERRORS, REGISTRY_WARNINGS } from './registry/registry-codes.js';
import { WARM_POOL_ERRORS } from './warm-pool/codes.js';
// Once more for the sake of its declarations: those of this file name none of its values, and whoever uses the package would not know its codes.
import './containerizer/codes.js';
import './registry/registry-codes.js';
import './warm-pool/codes.js';

/** Every code that an error may have, by who declares it; see `ErrorTable` for how a wing adds its own. */
export const ERROR_TABLES: ErrorTables = {
  library: LIBRARY_ERRORS,
  registry: REGISTRY_ERRORS,
  containerizer: CONTAINERIZER_ERRORS,
  warmPool: WARM_POOL_ERRORS,
};

/** Every code that a warning may have, by who declares it. */
export const WARNING_TABLES: WarningTables = { library: LIBRARY_WARNINGS, registry: REGISTRY_WARNINGS };

/** Every counter, by who declares it. */
export const COUNTER_TABLES: CounterTables = { library: LIBRARY_COUNTERS };

const ERRORS: ErrorTable = Object.assign({}, ...Object.values(ERROR_TABLES));

/**
 * Whether it is worth another try as it is: the same call, made again later, may succeed although its caller has changed nothing, neither arguments nor settings,
 * because what stood in its way passes by itself or by the work of others. No promise, and nothing of when: whoever tries again does so with growing pauses and an
 * end. What a failed call has begun is no obstacle to the next.
 * @param error anything thrown: an error of this library, of another copy of it as well, is judged by its code and details, as docs/errors.md tells; one of the
 *   system by its code, true for a shortage; anything else is not worth it
 */
export function isRetryable(error: unknown): boolean {
  if (!isProvisionerError(error)) return SHORTAGES.has(systemCode(error) ?? '');
  const entry = ERRORS[error.code];
  return entry !== undefined && holdsFor(entry.retryable, error.details);
}
