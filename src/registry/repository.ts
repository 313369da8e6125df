import { createHash } from 'node:crypto';
import { abortedError, isProvisionerError, ProvisionerError } from '../base/errors.js';
import { type Digest, digestAlgorithm, isDigest } from '../image/digest.js';
import { ACCEPTED_MANIFESTS } from '../image/media-types.js';
import { Pace, type Patience } from './connection/pace.js';
import type { Answer } from './connection/send-request.js';
import type { Endpoint } from './endpoint.js';
import type { PassedOver, RegistryBlob } from './registry-blob.js';
import type { RegistryClient, RegistryRequest } from './registry-client.js';
import { badSetting, transportError } from './registry-errors.js';
import { withRetries } from './retry.js';

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

/** What a tag points to. */
export interface ResolvedTag {
  readonly digest: Digest;
  /** As the registry states it, in lowercase and without parameters; empty when it does not. */
  readonly mediaType: string;
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

/**
 * One repository, at whichever of its hosts answers. Hosts are asked in order. One that fails is passed over, and not asked again in this
 * pull; one that merely lacks something is. The last one, mostly the registry itself, is tried again as long as that may help.
 *
 * Small documents only. Layers are read by `BlobReader`.
 */
export class Repository {
  readonly #needs: RepositoryNeeds;
  readonly #unfit = new Set<Endpoint>();

  constructor(needs: RepositoryNeeds) {
    this.#needs = needs;
  }

  /**
   * Asks where a tag points, by a request without a body where the server can do that.
   * @param limit bytes that a document may have
   * @throws ProvisionerError `ERR_SOURCE_NOT_FOUND`, and what `RegistryClient.request` throws
   */
  async resolve(tag: string, limit: number, subject: string): Promise<ResolvedTag> {
    const path = `manifests/${tag}`;
    return this.#ask('resolves', async (endpoint) => {
      const head = await this.#request(endpoint, { method: 'HEAD', path, subject, statuses: [200, 404, 405] });
      head.body.destroy();
      if (head.status === 404) throw this.#notFound(endpoint, subject);
      const digest = String(head.headers['docker-content-digest'] ?? '');
      const size = Number(head.headers['content-length'] ?? Number.NaN);
      const mediaType = mediaTypeOf(head);
      if (head.status === 200 && isDigest(digest) && Number.isSafeInteger(size) && mediaType !== '') {
        return { digest, mediaType, size };
      }
      // Older servers leave the digest out, or know no HEAD: the document is its own witness.
      const answer = await this.#request(endpoint, { method: 'GET', path, subject, statuses: [200, 404] });
      if (answer.status === 404) throw this.#notFound(endpoint, subject);
      const bytes = await this.#readBody(answer, endpoint, subject, limit);
      const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      return { digest: found, mediaType: mediaTypeOf(answer), size: bytes.length, bytes };
    });
  }

  /**
   * Reads a document by its digest: exactly the bytes that it names, from the first host that has them.
   * @param size -1 when it is not known; then `limit` holds
   * @throws ProvisionerError `ERR_SOURCE_NOT_FOUND`, `ERR_BLOB_NOT_FOUND`, `ERR_DIGEST_MISMATCH`, `ERR_SIZE_MISMATCH`, and what `RegistryClient.request` throws
   */
  async read({ digest, size, kind, subject }: WantedDocument, limit: number): Promise<Buffer> {
    return this.#ask('pulls', async (endpoint) => {
      const path = `${kind === 'manifest' ? 'manifests' : 'blobs'}/${digest}`;
      const answer = await this.#request(endpoint, { method: 'GET', path, subject, statuses: [200, 404] });
      if (answer.status === 404) {
        answer.body.destroy();
        throw kind === 'manifest' ? this.#notFound(endpoint, subject) : blobNotFound(endpoint, subject, digest);
      }
      const bytes = await this.#readBody(answer, endpoint, subject, size < 0 ? limit : size);
      if (size >= 0 && bytes.length !== size) throw sizeMismatch(endpoint, subject, size, String(bytes.length));
      const algorithm = digestAlgorithm(digest);
      const found = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
      if (found === digest) return bytes;
      throw new ProvisionerError('ERR_DIGEST_MISMATCH', `${subject} has the digest ${found} at ${endpoint.host}`, {
        hint: 'the registry, or something on the way to it, is at fault; pull again, or from elsewhere',
        details: { expected: digest, found, host: endpoint.host },
      });
    });
  }

  /** A layer, without asking for it: the hosts that may have it, in order, with all that was learnt about them. */
  blob(digest: Digest, size: number): RegistryBlob {
    const { client, repository, stallTimeout, minBytesPerSecond, retries, connectionsPerHost } = this.#needs;
    const patience = { stallTimeout, minBytesPerSecond };
    const sources = this.#able('pulls').map((endpoint) => client.learnt(endpoint, repository));
    return { kind: 'registry', repository, digest, size, sources, ...patience, retries, connectionsPerHost };
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

  #request(
    endpoint: Endpoint,
    request: Pick<RegistryRequest, 'method' | 'path' | 'subject' | 'statuses'>,
  ): Promise<Answer> {
    const { client, repository, stallTimeout, minBytesPerSecond, signal } = this.#needs;
    const headers = request.path.startsWith('manifests/') ? { accept: ACCEPT } : {};
    return client.request(endpoint, repository, { ...request, headers, stallTimeout, minBytesPerSecond, signal });
  }

  async #readBody({ body }: Answer, endpoint: Endpoint, subject: string, limit: number): Promise<Buffer> {
    try {
      const bytes = await body.start(limit + 1, new Pace(this.#needs));
      if (bytes.length > limit) throw sizeMismatch(endpoint, subject, limit, `more than ${limit}`);
      return bytes;
    } catch (error) {
      throw transportError({ subject, host: endpoint.host }, error, this.#needs.signal);
    }
  }

  #notFound({ host }: Endpoint, subject: string): ProvisionerError {
    return new ProvisionerError('ERR_SOURCE_NOT_FOUND', `${host} has no ${subject.replace(/^the /, '')}`, {
      hint: 'check the name and the tag; a private repository may hide itself from who has not logged in',
      details: { host, repository: this.#needs.repository, status: 404 },
    });
  }
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
