import { isProvisionerError, ProvisionerError } from '../base/errors.js';

/** What ends all that is under way. */
const OF_ALL: readonly string[] = ['ERR_ABORTED', 'ERR_CLOSED'];

/** The failures of images in a source that has several, each of which is nothing to the others. */
export class ImageFailures {
  readonly #signal: AbortSignal | undefined;
  readonly #failures: ProvisionerError[] = [];

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  get all(): readonly ProvisionerError[] {
    return this.#failures;
  }

  /** @param image what its source calls it @throws the error itself where it is no failure of an image: the caller gave up, or it is a fault of the program */
  add(image: string, error: unknown): void {
    if (this.#signal?.aborted || !isProvisionerError(error) || OF_ALL.includes(error.code)) throw error;
    this.#failures.push(error.details['image'] === image ? error : failureOfImage(image, error));
  }
}

/** The error with the image that it is about in front. */
function failureOfImage(image: string, error: ProvisionerError): ProvisionerError {
  const { code, message, hint, details, cause } = error;
  return new ProvisionerError(code, message.includes(image) ? message : `${image}: ${message}`, {
    cause: cause ?? error,
    ...(hint === undefined ? {} : { hint }),
    details: { ...details, image },
  });
}
