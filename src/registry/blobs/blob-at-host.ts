import { anySignal } from '../../base/any-signal.js';
import { isProvisionerError, ProvisionerError } from '../../base/errors.js';
import { codingsOf, undoingCodings } from '../connection/content-coding.js';
import { Pace } from '../connection/pace.js';
import type { Answer } from '../connection/send-request.js';
import type { Endpoint } from '../endpoint.js';
import type { RegistryClient } from '../registry-client.js';
import { type Asked, failed } from '../registry-errors.js';
import { mayPass } from '../retry.js';
import { rangeOf } from './content-range.js';
import type { PartRange } from './fetched-part.js';
import type { RegistryBlob } from './registry-blob.js';

export interface BlobAtHostNeeds {
  readonly client: RegistryClient;
  readonly blob: RegistryBlob;
  readonly signal: AbortSignal;
  /** Hosts whose root has been asked how to show who we are. */
  readonly rootsAsked: Set<string>;
}

/** What a connection brings of a blob. */
export interface OpenBody {
  readonly answer: Answer;
  /** Its bytes, without codings that were put on them on the way. */
  readonly pieces: AsyncIterable<Buffer>;
  /** Bytes at the start that are not wanted: it begins with those that came before. */
  readonly skip: number;
  /** A coding was undone that nobody had asked for. */
  readonly isEncoded: boolean;
}

/** Where a blob is asked for. */
export interface BlobPlace {
  readonly endpoint: Endpoint;
  /** It is no host of the registry, but one that its manifest names; of the endpoint only the host's name means something then. */
  readonly elsewhere: { readonly url: string; readonly namedBy: Endpoint } | undefined;
}

/** One blob at one host, and what that has turned out to do with requests for it. */
export class BlobAtHost {
  readonly endpoint: Endpoint;
  /** Over all connections to it. */
  readonly pace: Pace;
  /** It has been asked for parts, and has not answered with them. */
  refusesParts = false;
  readonly #needs: BlobAtHostNeeds;
  readonly #elsewhere: BlobPlace['elsewhere'];
  /** It has been read from the start again: that is done once. */
  #startedOver = false;
  /** Its bytes come with a coding that is undone: it cannot go on in the middle of that. */
  #encoded = false;
  /** How often in a row it has answered status 500 when it was asked for the rest. */
  #broken = 0;

  constructor({ endpoint, elsewhere }: BlobPlace, needs: BlobAtHostNeeds) {
    this.endpoint = endpoint;
    this.#elsewhere = elsewhere;
    this.#needs = needs;
    this.pace = new Pace(needs.blob);
  }

  /**
   * Asks for what is missing. Whatever is answered to that but just this, the blob is asked for once more as a whole, and what we have of it is to be dropped as it comes.
   * @param offset bytes that we have @throws what `RegistryClient.request` throws; `ERR_BLOB_NOT_FOUND`; `ERR_SIZE_MISMATCH` where it has another size
   */
  async open(offset: number): Promise<OpenBody> {
    const { size } = this.#needs.blob;
    let answer = offset > 0 && !this.#encoded ? await this.#askForRest(offset) : undefined;
    if (answer !== undefined && this.#isRest(answer, offset)) {
      this.#broken = 0;
      return { answer, pieces: answer.body, skip: 0, isEncoded: false };
    }
    // A part from elsewhere; or the rest, passed off as all of it.
    if (answer !== undefined && (answer.status === 206 || (lengthOf(answer) ?? size) !== size)) {
      answer.body.destroy();
      answer = undefined;
    }
    try {
      if (offset > 0 && this.#startedOver)
        throw failed(this.asked, 'it cannot go on in the middle, and the connection broke again');
      answer ??= await this.#ask({});
      this.#encoded = this.#checkWhole(answer);
    } catch (error) {
      answer?.body.destroy();
      throw error;
    }
    this.#startedOver = offset > 0;
    const pieces = this.#encoded ? undoingCodings(answer.body, codingsOf(answer)) : answer.body;
    return { answer, pieces, skip: offset, isEncoded: this.#encoded };
  }

  /** @returns what it answers to a request for a part, whatever that is @throws as `open` */
  askForPart({ first, last }: PartRange, signal: AbortSignal): Promise<Answer> {
    return this.#ask({ range: `bytes=${first}-${last}` }, anySignal([this.#needs.signal, signal]));
  }

  /** For messages. */
  get asked(): Asked {
    return { subject: `the layer ${this.#needs.blob.digest}`, host: this.endpoint.host };
  }

  /** @param found bytes @param ended with these, as if that were all; else it states them, or sends more than there are */
  wrongSize(found: string, { ended }: { readonly ended: boolean }): ProvisionerError {
    const { digest, size: expected } = this.#needs.blob;
    const { host } = this.endpoint;
    return new ProvisionerError(
      'ERR_SIZE_MISMATCH',
      `the layer ${digest} has ${found} bytes at ${host}; its descriptor says ${expected}`,
      {
        hint: 'the registry, or something on the way to it, is at fault; pull again, or from elsewhere',
        details: { host, digest, expected, found, ended },
      },
    );
  }

  /** @returns undefined where that is refused: not every server can begin in the middle, and not all of them say so in the same way */
  async #askForRest(offset: number): Promise<Answer | undefined> {
    try {
      return await this.#ask({ range: `bytes=${offset}-` });
    } catch (error) {
      if (!isProvisionerError(error) || error.details['status'] === undefined) throw error;
      if (!mayPass(error)) return undefined;
      // What passes is waited for. But there are servers that break at the mere question, each time.
      this.#broken = error.details['status'] === 500 ? this.#broken + 1 : 0;
      if (this.#broken < 2) throw error;
      return undefined;
    }
  }

  async #ask(headers: Readonly<Record<string, string>>, signal = this.#needs.signal): Promise<Answer> {
    const { client, blob, rootsAsked } = this.#needs;
    const { repository, digest, stallTimeout, minBytesPerSecond } = blob;
    const request = {
      method: 'GET',
      subject: this.asked.subject,
      headers,
      statuses: [200, 203, 206],
      stallTimeout,
      minBytesPerSecond,
      signal,
      rootsAsked,
    } as const;
    const elsewhere = this.#elsewhere;
    try {
      if (elsewhere !== undefined) return await client.requestElsewhere(elsewhere.namedBy, elsewhere.url, request);
      return await client.request(this.endpoint, repository, { ...request, path: `blobs/${digest}` });
    } catch (error) {
      const { host } = this.endpoint;
      if (!isProvisionerError(error, 'ERR_REGISTRY_FAILED')) throw error;
      // Of the host itself, not of one that was to give a token.
      if (error.details['status'] !== 404 || error.details['host'] !== host) throw error;
      throw new ProvisionerError('ERR_BLOB_NOT_FOUND', `${host} does not have the layer ${digest}`, {
        cause: error,
        hint: 'the image was pushed only in part, or parts of it were deleted: push it again',
        details: { host, repository, digest, status: 404 },
      });
    }
  }

  /** True for exactly what is missing, or for its beginning. */
  #isRest(answer: Answer, offset: number): boolean {
    const range = rangeOf(answer);
    const fits = range?.total === undefined || range.total === this.#needs.blob.size;
    return answer.status === 206 && range?.first === offset && fits;
  }

  /**
   * Holds what a server says it will send against what all of it is, before a byte of it is believed. With another length, or with none, a coding that it states is one that
   * somebody has put on it on the way.
   * @returns whether there is one
   */
  #checkWhole(answer: Answer): boolean {
    const { size, keepsCoding = false } = this.#needs.blob;
    if (answer.status === 206) {
      const range = rangeOf(answer);
      if (range?.first !== 0 || range.last !== size - 1)
        throw failed(this.asked, 'it answers with a part, and was asked for all of it');
    }
    const length = lengthOf(answer);
    if (!keepsCoding && length !== size && codingsOf(answer).length > 0) return true;
    if (length !== undefined && length !== size) throw this.wrongSize(String(length), { ended: false });
    return false;
  }
}

/** As it states it. */
function lengthOf({ headers }: Answer): number | undefined {
  return headers['content-length'] === undefined ? undefined : Number(headers['content-length']);
}
