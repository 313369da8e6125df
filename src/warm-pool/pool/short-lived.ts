import { ProvisionerError } from '../../base/errors.js';

/** Milliseconds: what breaks sooner after it was made would do so again and again. */
const SHORT_LIVED = 10_000;

/** @param age milliseconds since it was made @param fault a clause @returns undefined for what has lasted so long that something else than how it is made has broken it */
export function shortLived(container: string, age: number, fault: string): ProvisionerError | undefined {
  if (age >= SHORT_LIVED) return undefined;
  return new ProvisionerError('ERR_POOL_BROKEN', `${container} was broken ${age} ms after it was made: ${fault}`, {
    hint: 'what is generic has to run until it is had: look at its command, and at what it needs',
    details: { container, age },
  });
}
