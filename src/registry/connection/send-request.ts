import type { IncomingHttpHeaders } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { ResponseBody } from './response-body.js';

export interface Answer {
  readonly status: number;
  /** Names in lowercase. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** To be read to its end, or destroyed. */
  readonly body: ResponseBody;
}

/**
 * Sends a request, and gives the answer when its headers are there.
 * @param signal breaks off the body as well, with its reason
 * @throws what the connection failed with; the signal's reason
 */
export async function sendRequest(
  dispatcher: Dispatcher,
  options: Dispatcher.DispatchOptions,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  // A connection is free a turn after the end of its last answer: who asks before that has another one made.
  await setImmediate();
  return new Promise((resolve, reject) => {
    // Nor does one that has carried a HEAD have to be closed. Should a server send a body with that, the next answer makes no sense and is asked for again.
    dispatcher.dispatch({ ...options, reset: false }, new ResponseHandler(resolve, reject, signal));
  });
}

/** Interim answers before the one that counts; each begins the wait for it anew. More have no use: Go's client takes five as well. */
const INTERIM_MAX = 5;

/** Hands on to the body what undici reads. Undici's own streams would keep what lies in memory that is used again. */
class ResponseHandler implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #signal: AbortSignal | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #body: ResponseBody | undefined;
  #interim = 0;

  constructor(resolve: (answer: Answer) => void, reject: (reason: unknown) => void, signal: AbortSignal | undefined) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = signal;
    if (signal?.aborted) this.#abort();
    else signal?.addEventListener('abort', this.#abort, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal?.aborted) this.#abort();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // What comes before the answer. @see RFC 9110, section 15.2
    if (status < 200) {
      this.#interim += 1;
      if (this.#interim > INTERIM_MAX)
        controller.abort(new Error(`more than ${INTERIM_MAX} interim answers, and no other`));
      return;
    }
    const length = Number(headers['content-length'] ?? Number.NaN);
    this.#body = new ResponseBody(controller, Number.isSafeInteger(length) ? length : undefined);
    this.#resolve({ status, headers, body: this.#body });
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#body?.add(chunk);
  }

  onResponseEnd(): void {
    this.#settled();
    this.#body?.end();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#settled();
    this.#reject(error);
    this.#body?.end({ error });
  }

  /** The caller does not wait for a connection that is still being made. */
  readonly #abort = (): void => {
    const reason: Error = this.#signal?.reason;
    this.#reject(reason);
    this.#controller?.abort(reason);
  };

  #settled(): void {
    this.#signal?.removeEventListener('abort', this.#abort);
  }
}
