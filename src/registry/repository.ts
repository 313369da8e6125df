import { createHash } from 'node:crypto';
import { abortedError, isProvisionerError, ProvisionerError } from '../base/errors.js';
import { type Digest, digestAlgorithm, isDigest } from '../image/digest.js';
import { ACCEPTED_MANIFESTS, mediaKind } from '../image/media-types.js';
import type { PassedOver, RegistryBlob } from './blobs/registry-blob.js';
import { codingsOf, undoCodings } from './connection/content-coding.js';
import { Pace, type Patience } from './connection/pace.js';
import type { Answer } from './connection/send-request.js';
import type { Endpoint } from './endpoint.js';
import type { RegistryClient, RegistryRequest } from './registry-client.js';
import { badSetting, transportError } from './registry-errors.js';
import { answerInWords } from './registry-words.js';
import { mayPass, withRetries } from './retry.js';
import { nextPage } from './tags/next-page.js';
import { TagList } from './tags/tag-list.js';
import { parseTagPage } from './tags/tag-page.js';

export interface RepositoryNeeds extends Patience {
  readonly client: RegistryClient;
  /** As `chooseEndpoints` gives them. */
  readonly endpoints: readonly Endpoint[];
  readonly repository: string;
  readonly retries: number;
  readonly connectionsPerHost: number;
  readonly signal: AbortSignal | undefined;
  /** Told of each host that failed while another could still be asked. */
  readonly onPassedOver: (host: PassedOver) => void;
}

/** The size of a document when nobody has stated it whose word counts. */
const UNKNOWN_SIZE = -1;

/** What a tag points to. */
export interface ResolvedTag {
  readonly digest: Digest;
  /** As the registry states it, in lowercase and without parameters; empty when it does not. */
  readonly mediaType: string;
  /** Bytes; `UNKNOWN_SIZE` as long as the document itself has not been seen. */
  readonly size: number;
  /** The document itself, when it had to be fetched to know this. */
  readonly bytes?: Buffer;
}

/** A document of a registry. */
export interface WantedDocument {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly kind: 'manifest' | 'blob';
  /** For messages: `the manifest sha256:…`. */
  readonly subject: string;
}

const ACCEPT = ACCEPTED_MANIFESTS.join(', ');

/** Tags asked for at a time: some registries take no more. @see github.com/google/go-containerregistry/issues/1091 */
const TAGS_IN_PAGE = 1000;
/** Bytes of one page; registries that know no pages send all tags in one, and to parse more than this would hold the event loop for too long. */
const PAGE_LIMIT = 8 * 1024 * 1024;

/**
 * One repository, at whichever of its hosts answers. Hosts are asked in order. One that fails is passed over, and not asked again in this
 * pull; one that merely lacks something is. The last one, mostly the registry itself, is tried again as long as that may help.
 *
 * Small documents only. Layers are read by `BlobReader`.
 */
export class Repository {
  readonly #needs: RepositoryNeeds;
  readonly #unfit = new Set<Endpoint>();
  readonly #rootsAsked = new Set<string>();

  constructor(needs: RepositoryNeeds) {
    this.#needs = needs;
  }

  /**
   * Asks where a tag points, by a request without a body where the server can do that. What `HEAD` says is a hint: proxies, and storages that give leave for `GET` alone, refuse it,
   * and lengths in its answer are made up. So it counts when it tells the digest, and else `GET` decides.
   * @param limit bytes that a document may have @param hinted whether the word of `HEAD` counts
   * @throws ProvisionerError `ERR_SOURCE_NOT_FOUND`, `ERR_LIMIT_EXCEEDED`, and what `RegistryClient.request` throws
   */
  async resolve(tag: string, limit: number, subject: string, hinted = true): Promise<ResolvedTag> {
    const path = `manifests/${tag}`;
    return this.#ask('resolves', async (endpoint) => {
      const hint = hinted ? await this.#head(endpoint, path, subject) : undefined;
      if (hint !== undefined) return hint;
      const answer = await this.#get(endpoint, path, subject);
      const stated = String(answer.headers['docker-content-digest'] ?? '');
      const digest = isDigest(stated) ? stated : undefined;
      const bytes = await this.#readBody(answer, endpoint, { subject, size: UNKNOWN_SIZE, digest }, limit);
      return { digest: digestOf(bytes, 'sha256'), mediaType: mediaTypeOf(answer), size: bytes.length, bytes };
    });
  }

  /**
   * Reads a document by its digest: exactly the bytes that it names, from the first host that has them.
   * @param size `UNKNOWN_SIZE` when it is not known; then `limit` holds
   * @throws ProvisionerError `ERR_SOURCE_NOT_FOUND`, `ERR_BLOB_NOT_FOUND`, `ERR_DIGEST_MISMATCH`, `ERR_SIZE_MISMATCH`, `ERR_LIMIT_EXCEEDED`, and what
   * `RegistryClient.request` throws
   */
  async read({ digest, size, kind, subject }: WantedDocument, limit: number): Promise<Buffer> {
    return this.#ask('pulls', async (endpoint) => {
      const path = `${kind === 'manifest' ? 'manifests' : 'blobs'}/${digest}`;
      const missing = kind === 'manifest' ? undefined : digest;
      const answer = await this.#get(endpoint, path, subject, missing);
      const bytes = await this.#readBody(answer, endpoint, { subject, size, digest }, limit);
      if (size >= 0 && bytes.length !== size) throw sizeMismatch(endpoint, subject, size, String(bytes.length));
      const found = digestOf(bytes, digestAlgorithm(digest));
      if (found === digest) return bytes;
      throw new ProvisionerError('ERR_DIGEST_MISMATCH', `${subject} has the digest ${found} at ${endpoint.host}`, {
        hint: 'the registry, or something on the way to it, is at fault; pull again, or from elsewhere',
        details: { expected: digest, found, host: endpoint.host },
      });
    });
  }

  /**
   * The tags there are, in the order of the first host that may say where a tag points.
   * @param wanted so many are enough @param subject `the repository app`
   * @throws ProvisionerError `ERR_SOURCE_NOT_FOUND`, `ERR_LIMIT_EXCEEDED`, and what `RegistryClient.request` throws
   */
  async tags(wanted: number, subject: string): Promise<string[]> {
    const lists = new Map<Endpoint, TagList>();
    return this.#ask('resolves', async (endpoint) => {
      // Another attempt goes on with the page that failed.
      const list = lists.get(endpoint) ?? new TagList(wanted);
      lists.set(endpoint, list);
      const asked = { subject, host: endpoint.host };
      for (let { next } = list; next !== undefined; { next } = list) {
        const answer = await this.#tagPage(endpoint, next, Math.min(wanted, TAGS_IN_PAGE), subject);
        const links = [answer.headers['link'] ?? []].flat();
        const page = { subject, size: UNKNOWN_SIZE, digest: undefined };
        const bytes = await this.#readBody(answer, endpoint, page, PAGE_LIMIT);
        list.add(parseTagPage(bytes, asked), nextPage(links), asked);
      }
      return list.tags;
    });
  }

  /** There are registries that let nobody say how many tags a page is to have, or not so many. @param query as the page before says; empty for the first one */
  async #tagPage(endpoint: Endpoint, query: string, count: number, subject: string): Promise<Answer> {
    if (query !== '') return this.#get(endpoint, `tags/list${query}`, subject);
    try {
      return await this.#get(endpoint, `tags/list?n=${count}`, subject);
    } catch (error) {
      const isRefused = isProvisionerError(error, 'ERR_REGISTRY_FAILED', 'ERR_SOURCE_NOT_FOUND');
      // What may pass is asked again as it was, but for a server that breaks at the question.
      const isFinal = isRefused && (!mayPass(error) || error.details['status'] === 500);
      if (!isFinal || !isAnswerOf(endpoint, error)) throw error;
      return this.#get(endpoint, 'tags/list', subject);
    }
  }

  /**
   * A layer, without asking for it: the hosts that may have it, in order, with all that was learnt about them.
   * @param urls where else it may be had
   */
  blob(digest: Digest, size: number, urls: readonly string[] = []): RegistryBlob {
    const { client, repository, stallTimeout, minBytesPerSecond, retries, connectionsPerHost } = this.#needs;
    const patience = { stallTimeout, minBytesPerSecond };
    const sources = this.#able('pulls').map((endpoint) => client.learnt(endpoint, repository));
    return { kind: 'registry', repository, digest, size, sources, urls, ...patience, retries, connectionsPerHost };
  }

  /** What can be done at all; the last one is asked even when it has failed before. */
  #able(capability: 'pulls' | 'resolves'): readonly Endpoint[] {
    const able = this.#needs.endpoints.filter((endpoint) => endpoint[capability]);
    return able.filter((endpoint, index) => index === able.length - 1 || !this.#unfit.has(endpoint));
  }

  async #ask<T>(capability: 'pulls' | 'resolves', work: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    const { retries, signal, onPassedOver } = this.#needs;
    const endpoints = this.#able(capability);
    const passedOver: string[] = [];
    for (const [index, endpoint] of endpoints.entries()) {
      const last = index === endpoints.length - 1;
      try {
        return await withRetries(() => work(endpoint), { retries: last ? retries : 0, signal });
      } catch (error) {
        if (signal?.aborted) throw abortedError(signal);
        if (last || !isProvisionerError(error)) throw withPassedOver(error, passedOver);
        const { host } = endpoint;
        passedOver.push(`${host}: ${error.code}`);
        if (error.code === 'ERR_SOURCE_NOT_FOUND' || error.code === 'ERR_BLOB_NOT_FOUND') continue;
        this.#unfit.add(endpoint);
        onPassedOver({ host, code: error.code, message: error.message });
      }
    }
    const verb = capability === 'pulls' ? 'pull' : 'resolve';
    throw badSetting(
      `no host of the registry may ${verb}`,
      `give one of the hosts in hosts.toml the capability ${verb}`,
      { repository: this.#needs.repository },
    );
  }

  /** @returns undefined where it tells nothing, whatever the status */
  async #head(endpoint: Endpoint, path: string, subject: string): Promise<ResolvedTag | undefined> {
    try {
      const head = await this.#request(endpoint, { method: 'HEAD', path, subject });
      head.body.destroy();
      const digest = String(head.headers['docker-content-digest'] ?? '');
      const mediaType = mediaTypeOf(head);
      const kind = mediaKind(mediaType);
      // Of what is said to be no image, `GET` has the last word.
      const mayBeImage = kind === undefined || kind === 'manifest' || kind === 'index';
      return isDigest(digest) && mayBeImage ? { digest, mediaType, size: UNKNOWN_SIZE } : undefined;
    } catch (error) {
      if (isProvisionerError(error) && isAnswerOf(endpoint, error)) return undefined;
      throw error;
    }
  }

  /** @param blob the digest, for a document that is none of the manifests */
  async #get(endpoint: Endpoint, path: string, subject: string, blob?: Digest): Promise<Answer> {
    try {
      return await this.#request(endpoint, { method: 'GET', path, subject, statuses: [200, 203] });
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_REGISTRY_FAILED') || !isAnswerOf(endpoint, error)) throw error;
      if (error.details['status'] !== 404) throw error;
      throw blob === undefined ? this.#notFound(endpoint, subject, error) : blobNotFound(endpoint, subject, blob);
    }
  }

  #request(
    endpoint: Endpoint,
    request: Pick<RegistryRequest, 'method' | 'path' | 'subject' | 'statuses'>,
  ): Promise<Answer> {
    const { client, repository, stallTimeout, minBytesPerSecond, signal } = this.#needs;
    const headers = request.path.startsWith('manifests/') ? { accept: ACCEPT } : {};
    const rootsAsked = this.#rootsAsked;
    const how = { headers, stallTimeout, minBytesPerSecond, signal, rootsAsked };
    return client.request(endpoint, repository, { ...request, ...how });
  }

  async #readBody(
    answer: Answer,
    endpoint: Endpoint,
    { subject, size, digest }: Pick<WantedDocument, 'subject' | 'size'> & { readonly digest: Digest | undefined },
    limit: number,
  ): Promise<Buffer> {
    const codings = codingsOf(answer);
    const most = size < 0 ? limit : size;
    let bytes: Buffer;
    try {
      bytes = await answer.body.start((codings.length === 0 ? most : limit) + 1, new Pace(this.#needs));
    } catch (error) {
      throw transportError({ subject, host: endpoint.host }, error, this.#needs.signal);
    }
    const isPlain = digest !== undefined && codings.length > 0 && digestOf(bytes, digestAlgorithm(digest)) === digest;
    if (codings.length > 0 && !isPlain) bytes = (await undoCodings(bytes, codings, limit)) ?? bytes;
    if (bytes.length <= most) return bytes;
    if (size >= 0) throw sizeMismatch(endpoint, subject, most, `more than ${most}`);
    throw new ProvisionerError(
      'ERR_LIMIT_EXCEEDED',
      `${subject} has more than ${limit} bytes at ${endpoint.host}, which is the limit`,
      { details: { host: endpoint.host, limit } },
    );
  }

  #notFound({ host }: Endpoint, subject: string, { details }: ProvisionerError): ProvisionerError {
    const { answer, said } = details;
    const words = {
      ...(typeof answer === 'string' ? { code: answer } : {}),
      ...(typeof said === 'string' ? { message: said } : {}),
    };
    const told = Object.keys(words).length === 0 ? '' : `: ${answerInWords(404, words)}`;
    return new ProvisionerError('ERR_SOURCE_NOT_FOUND', `${host} has no ${subject.replace(/^the /, '')}${told}`, {
      hint: 'check the name and the tag; a private repository may hide itself from who has not logged in',
      details: { ...details, repository: this.#needs.repository },
    });
  }
}

/** It was the host that answered, and neither a token server nor a proxy. */
function isAnswerOf({ host }: Endpoint, { details }: ProvisionerError): boolean {
  return details['status'] !== undefined && details['host'] === host && details['proxy'] === undefined;
}

function digestOf(bytes: Buffer, algorithm: string): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest;
}

function mediaTypeOf({ headers }: Answer): string {
  const [type = ''] = String([headers['content-type'] ?? ''].flat()[0]).split(';');
  return type.trim().toLowerCase();
}

function blobNotFound({ host }: Endpoint, subject: string, digest: Digest): ProvisionerError {
  return new ProvisionerError('ERR_BLOB_NOT_FOUND', `${host} does not have ${subject}`, {
    hint: 'the image was pushed only in part, or parts of it were deleted: push it again',
    details: { host, digest },
  });
}

function sizeMismatch({ host }: Endpoint, subject: string, expected: number, found: string): ProvisionerError {
  return new ProvisionerError('ERR_SIZE_MISMATCH', `${subject} has ${found} bytes at ${host}, expected ${expected}`, {
    hint: 'the registry, or something on the way to it, is at fault; pull again, or from elsewhere',
    details: { host, expected, found },
  });
}

/** The error of the last host, with what became of those before it. */
function withPassedOver(error: unknown, passedOver: readonly string[]): unknown {
  if (passedOver.length === 0 || !isProvisionerError(error)) return error;
  const { code, message, cause, hint, details } = error;
  return new ProvisionerError(code, message, {
    cause,
    ...(hint === undefined ? {} : { hint }),
    details: { ...details, passedOver },
  });
}
