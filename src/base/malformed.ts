import type { UnpackLimits } from './config.js';
import { ProvisionerError } from './errors.js';

/** The error of an archive that breaks the rules of its format. */
export function malformed(what: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_LAYER_MALFORMED', `the layer is malformed: ${what}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { problem: what },
    hint: 'the image is damaged or was built by a faulty tool: pull it again, or have it rebuilt',
  });
}

/** The error of an archive that ends too early. */
export function truncated(what: string): ProvisionerError {
  return new ProvisionerError('ERR_LAYER_TRUNCATED', `the layer is truncated: ${what}`, {
    details: { problem: what },
    hint: 'the image was not copied completely: copy or pull it again',
  });
}

/**
 * The error of an archive that asks for more than it may have.
 * @param option the one of `UnpackLimits` to raise; none for limits of the system and of this program
 */
export function limitExceeded(what: string, limit: number, option?: keyof UnpackLimits): ProvisionerError {
  return new ProvisionerError('ERR_LIMIT_EXCEEDED', `the layer has ${what}: more than the limit of ${limit}`, {
    hint:
      option === undefined
        ? 'no proper image needs that much: have it rebuilt'
        : `raise the limit ${option} if you trust the image`,
    details: { problem: what, limit, ...(option === undefined ? {} : { option }) },
  });
}
