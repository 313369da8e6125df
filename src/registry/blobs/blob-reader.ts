import { abortedError, isProvisionerError, throwIfAborted } from '../../base/errors.js';
import { codingsOf } from '../connection/content-coding.js';
import { Watch } from '../connection/watch.js';
import type { RegistryClient } from '../registry-client.js';
import { transportError } from '../registry-errors.js';
import { mayPass, pause, pauseBefore, TOO_SLOW } from '../retry.js';
import { BlobAtHost, type BlobAtHostNeeds, type BlobPlace, type OpenBody } from './blob-at-host.js';
import { ConnectionShare } from './connection-share.js';
import { PartsEnded } from './fetched-part.js';
import { PartsAhead, partsFrom } from './parts-ahead.js';
import type { PassedOver, RegistryBlob } from './registry-blob.js';

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
 * Where the network is what is waited for, and one connection brings only so much, several do: see `PartsAhead`. Whatever goes wrong with that, one connection goes on where they ended.
 *
 * Exactly the stated size comes out, or an error. Whether it is the right bytes is for the reader to find out, who hashes them: the hosts in
 * `servedBy` are the suspects.
 */
export class BlobReader {
  readonly #needs: BlobAtHostNeeds;
  readonly #blob: RegistryBlob;
  readonly #signal: AbortSignal;
  readonly #servedBy = new Set<string>();
  readonly #passedOver: PassedOver[] = [];
  #offset = 0;
  #connections = 0;
  #undidCoding = false;
  #readParts = false;

  constructor(client: RegistryClient, blob: RegistryBlob, signal: AbortSignal) {
    this.#needs = { client, blob, signal, rootsAsked: new Set() };
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

  /** Parts of it came over several connections. Should the bytes turn out to be wrong, the server may be one that does that wrong: see `oneConnection`. */
  get readParts(): boolean {
    return this.#readParts;
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
  #places(): BlobPlace[] {
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

  async *#fromHost(place: BlobPlace, retries: number): AsyncGenerator<Buffer, void, undefined> {
    const host = new BlobAtHost(place, this.#needs);
    for (let failures = 0; ; ) {
      const before = this.#offset;
      try {
        const ended = yield* this.#connection(host);
        if (this.#offset === this.#blob.size) return;
        if (ended === 'body') throw host.wrongSize(String(this.#offset), { ended: true });
        failures = 0;
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

  /** One connection, from the next byte to where it ends, or others take its place. @returns what has ended: its body, or the parts that others brought */
  async *#connection(host: BlobAtHost): AsyncGenerator<Buffer, 'body' | 'parts', undefined> {
    throwIfAborted(this.#signal);
    this.#connections++;
    const { size } = this.#blob;
    const body = await host.pace.waitFor(host.open(this.#offset));
    this.#undidCoding ||= body.isEncoded;
    const watch = new Watch(host.pace, this.#offset);
    let parts: PartsAhead | undefined;
    try {
      let { skip } = body;
      for await (const piece of host.pace.of(body.pieces)) {
        let at = Math.min(skip, piece.length);
        skip -= at;
        while (at < piece.length) {
          const missing = piece.subarray(at, at + (parts?.from ?? size) - this.#offset);
          if (missing.length === 0) throw host.wrongSize(`more than ${size}`, { ended: false });
          at += missing.length;
          yield this.#take(missing, host);
          if (this.#offset !== parts?.from) continue;
          if (parts.areComing) break;
          host.refusesParts = true;
          await parts.close();
          parts = undefined;
        }
        if (this.#offset === parts?.from) break;
        parts ??= skip === 0 ? this.#partsAhead(body, host, watch) : undefined;
      }
      if (parts === undefined || this.#offset !== parts.from) return 'body';
      // Its socket goes at once: it would bring the same as the others.
      body.answer.body.destroy();
      for await (const piece of host.pace.of(parts.chunks())) yield this.#take(piece, host);
      return 'parts';
    } catch (error) {
      if (!(error instanceof PartsEnded)) throw transportError(host.asked, error, this.#signal);
      throwIfAborted(this.#signal);
      host.refusesParts ||= error.refused;
      return 'parts';
    } finally {
      // Where the reader has had enough, too.
      body.answer.body.destroy();
      await parts?.close();
    }
  }

  #take(piece: Buffer, { endpoint }: BlobAtHost): Buffer {
    this.#offset += piece.length;
    this.#servedBy.add(endpoint.host);
    return piece;
  }

  /** @returns undefined where one connection does as well, or may not be joined by others */
  #partsAhead({ answer }: OpenBody, host: BlobAtHost, watch: Watch): PartsAhead | undefined {
    const { share, size, oneConnection = false } = this.#blob;
    if (share === undefined || oneConnection || host.refusesParts || codingsOf(answer).length > 0) return undefined;
    const bytesPerSecond = watch.bytesPerSecond(this.#offset);
    const from = bytesPerSecond === undefined ? undefined : partsFrom(bytesPerSecond, this.#offset, size);
    if (bytesPerSecond === undefined || from === undefined) return undefined;
    const parts = new PartsAhead({
      ...{ from, size, bytesPerSecond },
      share: new ConnectionShare(share),
      ask: (range, signal) => host.askForPart(range, signal),
      now: () => performance.now(),
    });
    if (parts.isEmpty) return undefined;
    this.#readParts = true;
    return parts;
  }
}

/** Of a URL; undefined for what is none. */
export function hostOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).host : undefined;
}

function isTooSlow(error: unknown): boolean {
  return isProvisionerError(error, 'ERR_REGISTRY_UNREACHABLE') && error.details['errno'] === TOO_SLOW;
}

/** A body that ended properly, and too early: another connection may bring the rest. */
function isEndOfBody(error: unknown): boolean {
  return isProvisionerError(error, 'ERR_SIZE_MISMATCH') && error.details['ended'] === true;
}
