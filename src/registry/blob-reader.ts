import { abortedError, isProvisionerError, ProvisionerError, throwIfAborted } from '../base/errors.js';
import { codingsOf, undoingCodings } from './connection/content-coding.js';
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
  readonly #rootsAsked = new Set<string>();
  #offset = 0;
  #connections = 0;
  #undidCoding = false;

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

  /** A coding was undone that nobody had asked for. Should the bytes turn out to be wrong, it may have been meant otherwise: see `keepsCoding`. */
  get undidCoding(): boolean {
    return this.#undidCoding;
  }

  get passedOver(): readonly PassedOver[] {
    return this.#passedOver;
  }

  /**
   * @throws ProvisionerError what `RegistryClient.request` throws; `ERR_BLOB_NOT_FOUND`; `ERR_SIZE_MISMATCH` for a host whose blob has another size
   */
  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    const { size, retries } = this.#blob;
    if (size === 0) return;
    const places = this.#places();
    for (const [index, place] of places.entries()) {
      const next = places[index + 1];
      const last = next === undefined || next.elsewhere !== undefined;
      try {
        yield* this.#fromHost(place, last ? retries : Math.min(retries, MIRROR_RETRIES));
        return;
      } catch (error) {
        if (this.#signal.aborted) throw abortedError(this.#signal);
        if (next === undefined || !isProvisionerError(error)) throw error;
        // The registry has the first word, and where it fails otherwise that is the failure.
        const isMissing = error.code === 'ERR_BLOB_NOT_FOUND' || place.elsewhere !== undefined;
        if (next.elsewhere !== undefined && !isMissing) throw error;
        if (next.elsewhere === undefined || place.elsewhere !== undefined)
          this.#passedOver.push({ host: place.endpoint.host, code: error.code, message: error.message });
      }
    }
  }

  /** Hosts of the registry, then places elsewhere that its manifest names. */
  #places(): Place[] {
    const { sources, urls = [] } = this.#blob;
    const registry = sources.at(-1)?.endpoint;
    const elsewhere = urls.flatMap((url) => {
      const host = hostOf(url);
      return registry === undefined || host === undefined
        ? []
        : [{ endpoint: { ...registry, host }, elsewhere: { url, namedBy: registry } }];
    });
    return [...sources.map(({ endpoint }) => ({ endpoint, elsewhere: undefined })), ...elsewhere];
  }

  async *#fromHost(place: Place, retries: number): AsyncGenerator<Buffer, void, undefined> {
    const { endpoint } = place;
    const host: HostState = {
      ...place,
      startedOver: false,
      encoded: false,
      broken: 0,
      pace: new Pace(this.#blob),
    };
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
    const { answer, have } = await host.pace.waitFor(this.#open(host));
    try {
      let skip = have;
      for await (const piece of host.pace.of(this.#plain(answer, host))) {
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

  /**
   * Asks for what is missing. Whatever is answered to that but just this, the blob is asked for once more as a whole, and what we have of it is dropped as it comes.
   * @returns `have`: bytes to drop at the start
   */
  async #open(host: HostState): Promise<{ readonly answer: Answer; readonly have: number }> {
    const { endpoint } = host;
    const { size } = this.#blob;
    const have = this.#offset;
    let answer = have > 0 && !host.encoded ? await this.#askForRest(host) : undefined;
    if (answer !== undefined && this.#isRest(answer)) {
      host.broken = 0;
      return { answer, have: 0 };
    }
    // A part from elsewhere; or the rest, passed off as all of it.
    if (answer !== undefined && (answer.status === 206 || (lengthOf(answer) ?? size) !== size)) {
      answer.body.destroy();
      answer = undefined;
    }
    try {
      if (have > 0 && host.startedOver) {
        throw failed(this.#asked(endpoint), 'it cannot go on in the middle, and the connection broke again');
      }
      answer ??= await this.#ask(host, {});
      this.#checkWhole(answer, host);
    } catch (error) {
      answer?.body.destroy();
      throw error;
    }
    host.startedOver = have > 0;
    return { answer, have };
  }

  /** @returns undefined where that is refused: not every server can begin in the middle, and not all of them say so in the same way */
  async #askForRest(host: HostState): Promise<Answer | undefined> {
    try {
      return await this.#ask(host, { range: `bytes=${this.#offset}-` });
    } catch (error) {
      if (!isProvisionerError(error) || error.details['status'] === undefined) throw error;
      if (!mayPass(error)) return undefined;
      // What passes is waited for. But there are servers that break at the mere question, each time.
      host.broken = error.details['status'] === 500 ? host.broken + 1 : 0;
      if (host.broken < 2) throw error;
      return undefined;
    }
  }

  async #ask({ endpoint, elsewhere }: Place, headers: Readonly<Record<string, string>>): Promise<Answer> {
    const { repository, digest, stallTimeout, minBytesPerSecond } = this.#blob;
    try {
      const request = {
        method: 'GET',
        subject: `the layer ${digest}`,
        headers,
        statuses: [200, 203, 206],
        stallTimeout,
        minBytesPerSecond,
        signal: this.#signal,
        rootsAsked: this.#rootsAsked,
      } as const;
      if (elsewhere !== undefined)
        return await this.#client.requestElsewhere(elsewhere.namedBy, elsewhere.url, request);
      return await this.#client.request(endpoint, repository, { ...request, path: `blobs/${digest}` });
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_REGISTRY_FAILED')) throw error;
      // Of the host itself, not of one that was to give a token.
      if (error.details['status'] !== 404 || error.details['host'] !== endpoint.host) throw error;
      throw new ProvisionerError('ERR_BLOB_NOT_FOUND', `${endpoint.host} does not have the layer ${digest}`, {
        cause: error,
        hint: 'the image was pushed only in part, or parts of it were deleted: push it again',
        details: { host: endpoint.host, repository, digest, status: 404 },
      });
    }
  }

  /** True for exactly what is missing, or for its beginning. @see RFC 9110, section 14.4, "Content-Range" */
  #isRest({ status, headers }: Answer): boolean {
    const range = rangeIn(headers['content-range']);
    const fits = range?.total === undefined || range.total === this.#blob.size;
    return status === 206 && range?.first === this.#offset && fits;
  }

  /**
   * Holds what a server says it will send against what all of it is, before a byte of it is believed. With another length, or with none, a coding that it states is one that
   * somebody has put on it on the way.
   */
  #checkWhole(answer: Answer, host: HostState): void {
    const { status, headers } = answer;
    const { endpoint } = host;
    const { size, keepsCoding = false } = this.#blob;
    if (status === 206) {
      const range = rangeIn(headers['content-range']);
      if (range?.first !== 0 || range.last !== size - 1)
        throw failed(this.#asked(endpoint), 'it answers with a part, and was asked for all of it');
    }
    const length = lengthOf(answer);
    host.encoded = !keepsCoding && length !== size && codingsOf(answer).length > 0;
    if (host.encoded) this.#undidCoding = true;
    else if (length !== undefined && length !== size) throw this.#wrongSize(endpoint, String(length));
  }

  #plain(answer: Answer, { encoded }: HostState): AsyncIterable<Buffer> {
    return encoded ? undoingCodings(answer.body, codingsOf(answer)) : answer.body;
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

/** Where a blob is asked for. */
interface Place {
  readonly endpoint: Endpoint;
  /** It is no host of the registry, but one that its manifest names; of the endpoint only the host's name means something then. */
  readonly elsewhere: { readonly url: string; readonly namedBy: Endpoint } | undefined;
}

interface HostState extends Place {
  /** It has been read from the start again: that is done once. */
  startedOver: boolean;
  /** Its bytes come with a coding that is undone: it cannot go on in the middle of that. */
  encoded: boolean;
  /** How often in a row it has answered status 500 when it was asked for a part. */
  broken: number;
  /** Over all connections to it. */
  readonly pace: Pace;
}

/** Of a URL; undefined for what is none. */
export function hostOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).host : undefined;
}

/** As it states it. */
function lengthOf({ headers }: Answer): number | undefined {
  return headers['content-length'] === undefined ? undefined : Number(headers['content-length']);
}

interface ContentRange {
  readonly first: number;
  readonly last: number;
  /** Undefined where it is not stated. */
  readonly total: number | undefined;
}

function rangeIn(value: string | string[] | undefined): ContentRange | undefined {
  const [, first, last, total] = /^\s*bytes[ =]+(\d+)-(\d+)\/(\d+|\*)\s*$/i.exec(String(value ?? '')) ?? [];
  if (first === undefined || last === undefined) return undefined;
  return { first: Number(first), last: Number(last), total: total === '*' ? undefined : Number(total) };
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
