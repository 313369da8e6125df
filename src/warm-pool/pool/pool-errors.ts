import { ProvisionerError } from '../../base/errors.js';

export function hasStopped(): ProvisionerError {
  return new ProvisionerError('ERR_POOL_STOPPED', 'the pool has been stopped', { hint: 'begin it anew with `keep`' });
}

/** @param destroyed so many all the same */
export function outlived(milliseconds: number, destroyed: number): ProvisionerError {
  return new ProvisionerError(
    'ERR_POOL_TIMEOUT',
    `the pool is stopped, and something that it was making has not come to its end within ${milliseconds} ms`,
    { hint: 'what still comes of it is destroyed', details: { milliseconds, destroyed } },
  );
}
