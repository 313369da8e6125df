import { abortedError, isProvisionerError, ProvisionerError, throwIfAborted } from '../base/errors.js';
import { Pace } from './connection/pace.js';
import type { Answer } from './connection/send-request.js';
import type { Endpoint } from './endpoint.js';
import type { PassedOver, RegistryBlob } from './registry-blob.js';
import type { RegistryClient } from './registry-client.js';
import { type Asked, failed, transportError } from './registry-errors.js';
import { mayPass, pause, pauseBefore, TOO_SLOW } from './retry.js';

/** Before a connection is made anew that had brought bytes, in milliseconds. */
const RESUME_PAUSE = 50;
/** Connections for one blob, after which a server that gives it byte by byte is given up. */
const MAX_CONNECTIONS = 1000;
/** Further attempts at a host that is not the last one: enough for one connection that breaks. */
const MIRROR_RETRIES = 1;

/** Further attempts at a host that sends too slowly: another connection may lead another way. */
const SLOW_RETRIES = 1;

/**
 * Reads one blob, from its first byte to its last, whatever happens to the connections on the way: one that breaks or stalls is made anew and
 * goes on with the byte that is missing, and so is one that brings too little, once; a host that gives up is replaced by the next one, which goes on there as well. A server that cannot
 * begin in the middle is read again from the start, once, and what is known of it is dropped.
 *
 * Exactly the stated size comes out, or an error. Whether it is the right bytes is for the reader to find out, who hashes them: the hosts in
 * `servedBy` are the suspects.
 */
export class BlobReader {
  readonly #client: RegistryClient;
  readonly #blob: RegistryBlob;
  readonly #signal: AbortSignal;
  readonly #servedBy = new Set<string>();
  readonly #passedOver: PassedOver[] = [];
  #offset = 0;
  #connections = 0;

  constructor(client: RegistryClient, blob: RegistryBlob, signal: AbortSignal) {
    this.#client = client;
    this.#blob = blob;
    this.#signal = signal;
    for (const { endpoint, authorization } of blob.sources) {
      if (authorization !== undefined) client.adopt(endpoint, blob.repository, authorization);
    }
  }

  /** The hosts whose bytes were handed on, in order. */
  get servedBy(): readonly string[] {
    return [...this.#servedBy];
  }

  get passedOver(): readonly PassedOver[] {
    return this.#passedOver;
  }

  /**
   * @throws ProvisionerError what `RegistryClient.request` throws; `ERR_BLOB_NOT_FOUND`; `ERR_SIZE_MISMATCH` for a host whose blob has another size
   */
  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    const { sources, size, retries } = this.#blob;
    if (size === 0) return;
    for (const [index, { endpoint }] of sources.entries()) {
      const last = index === sources.length - 1;
      try {
        yield* this.#fromHost(endpoint, last ? retries : Math.min(retries, MIRROR_RETRIES));
        return;
      } catch (error) {
        if (this.#signal.aborted) throw abortedError(this.#signal);
        if (last || !isProvisionerError(error)) throw error;
        this.#passedOver.push({ host: endpoint.host, code: error.code, message: error.message });
      }
    }
  }

  async *#fromHost(endpoint: Endpoint, retries: number): AsyncGenerator<Buffer, void, undefined> {
    const host: HostState = { endpoint, startedOver: false, pace: new Pace(this.#blob) };
    for (let failures = 0; ; ) {
      const before = this.#offset;
      try {
        yield* this.#connection(host);
        if (this.#offset === this.#blob.size) return;
        throw this.#tooShort(endpoint);
      } catch (error) {
        if (this.#signal.aborted) throw abortedError(this.#signal);
        const advanced = this.#offset > before;
        failures = advanced ? 0 : failures + 1;
        // A port where nobody listens is a registry that starts anew, when it has been there a moment ago.
        const passes = isTooSlow(error)
          ? host.pace.failures <= Math.min(retries, SLOW_RETRIES)
          : isEndOfBody(error) || mayPass(error, this.#offset > 0 ? 'passes' : 'stays');
        if (!passes || failures > retries || this.#connections > MAX_CONNECTIONS) throw error;
        await pause(advanced ? RESUME_PAUSE : pauseBefore(failures - 1, error), this.#signal);
      }
    }
  }

  /** One connection, from the next byte to where it ends. */
  async *#connection(host: HostState): AsyncGenerator<Buffer, void, undefined> {
    throwIfAborted(this.#signal);
    this.#connections++;
    const { endpoint } = host;
    const { size } = this.#blob;
    const answer = await host.pace.waitFor(this.#ask(endpoint));
    try {
      let skip = this.#checkStart(answer, host);
      for await (const piece of host.pace.of(answer.body)) {
        const missing = piece.subarray(skip, skip + size - this.#offset);
        const surplus = piece.length > skip + missing.length;
        skip = Math.max(skip - piece.length, 0);
        if (missing.length > 0) {
          this.#offset += missing.length;
          this.#servedBy.add(endpoint.host);
          yield missing;
        }
        if (surplus) throw this.#wrongSize(endpoint, `more than ${size}`);
      }
    } catch (error) {
      throw transportError(this.#asked(endpoint), error, this.#signal);
    } finally {
      // Where the reader has had enough, too: then the socket goes at once.
      answer.body.destroy();
    }
  }

  async #ask(endpoint: Endpoint): Promise<Answer> {
    const { repository, digest, stallTimeout, minBytesPerSecond } = this.#blob;
    try {
      return await this.#client.request(endpoint, repository, {
        method: 'GET',
        path: `blobs/${digest}`,
        subject: `the layer ${digest}`,
        headers: this.#offset === 0 ? {} : { range: `bytes=${this.#offset}-` },
        statuses: this.#offset === 0 ? [200] : [200, 206],
        stallTimeout,
        minBytesPerSecond,
        signal: this.#signal,
      });
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_REGISTRY_FAILED') || error.details['status'] !== 404) throw error;
      throw new ProvisionerError('ERR_BLOB_NOT_FOUND', `${endpoint.host} does not have the layer ${digest}`, {
        cause: error,
        hint: 'the image was pushed only in part, or parts of it were deleted: push it again',
        details: { host: endpoint.host, repository, digest },
      });
    }
  }

  /**
   * Holds what a server says it will send against what is missing, before a byte of it is believed.
   * @returns how many bytes to drop, which we have already
   * @see RFC 9110, section 14.4, "Content-Range"
   */
  #checkStart({ status, headers }: Answer, host: HostState): number {
    const { size } = this.#blob;
    const { endpoint } = host;
    const length = headers['content-length'] === undefined ? undefined : Number(headers['content-length']);
    if (status === 206) {
      const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(String(headers['content-range'] ?? ''));
      if (Number(range?.[1] ?? -1) !== this.#offset) {
        throw failed(this.#asked(endpoint), 'it answers with another part than it was asked for');
      }
      if (range?.[2] !== '*' && Number(range?.[2]) !== size) throw this.#wrongSize(endpoint, String(range?.[2]));
      return 0;
    }
    if (length !== undefined && length !== size) throw this.#wrongSize(endpoint, String(length));
    if (this.#offset === 0) return 0;
    if (host.startedOver) {
      throw failed(this.#asked(endpoint), 'it cannot go on in the middle, and the connection broke again');
    }
    host.startedOver = true;
    return this.#offset;
  }

  #tooShort({ host }: Endpoint): ProvisionerError {
    const { digest, size } = this.#blob;
    return sizeMismatch(digest, host, size, String(this.#offset), { ended: true });
  }

  #wrongSize({ host }: Endpoint, found: string): ProvisionerError {
    return sizeMismatch(this.#blob.digest, host, this.#blob.size, found, { ended: false });
  }

  #asked({ host }: Endpoint): Asked {
    return { subject: `the layer ${this.#blob.digest}`, host };
  }
}

interface HostState {
  readonly endpoint: Endpoint;
  /** It has been read from the start again: that is done once. */
  startedOver: boolean;
  /** Over all connections to it. */
  readonly pace: Pace;
}

function isTooSlow(error: unknown): boolean {
  return isProvisionerError(error, 'ERR_REGISTRY_UNREACHABLE') && error.details['errno'] === TOO_SLOW;
}

/** A body that ended properly, and too early: another connection may bring the rest. */
function isEndOfBody(error: unknown): boolean {
  return isProvisionerError(error, 'ERR_SIZE_MISMATCH') && error.details['ended'] === true;
}

function sizeMismatch(
  digest: string,
  host: string,
  expected: number,
  found: string,
  { ended }: { readonly ended: boolean },
): ProvisionerError {
  return new ProvisionerError(
    'ERR_SIZE_MISMATCH',
    `the layer ${digest} has ${found} bytes at ${host}; its descriptor says ${expected}`,
    {
      hint: 'the registry, or something on the way to it, is at fault; pull again, or from elsewhere',
      details: { host, digest, expected, found, ended },
    },
  );
}
