import { createHash } from 'node:crypto';
import { ProvisionerError } from '../../base/errors.js';
import { type Asked, failed } from '../registry-errors.js';

/** Tags of one repository; the largest known have some hundred thousand. */
const MOST_TAGS = 1_000_000;
const MOST_PAGES = 20_000;
/** Pages in a row that may bring nothing new: some registries leave out of a page what the asker may not see. */
const MOST_IDLE_PAGES = 100;

/** The tags of one repository as one host lists them, page by page, each once. What has come is kept where a page has to be asked for again. */
export class TagList {
  readonly #wanted: number;
  readonly #tags = new Set<string>();
  /** Digests of the queries for pages that have been asked for: a query may be as long as a header. */
  readonly #pages = new Set<string>();
  #next: string | undefined = '';
  #idlePages = 0;

  /** @param wanted so many tags are enough */
  constructor(wanted: number) {
    this.#wanted = wanted;
  }

  /** In the host's order. */
  get tags(): string[] {
    return [...this.#tags].slice(0, this.#wanted);
  }

  /** The query of the page to ask for; empty for the first one, undefined when there is no other, or enough has come. */
  get next(): string | undefined {
    return this.#tags.size < this.#wanted ? this.#next : undefined;
  }

  /** @param next what the page says of the one after it @throws ProvisionerError `ERR_REGISTRY_FAILED`, `ERR_LIMIT_EXCEEDED` */
  add(tags: readonly string[], next: string | undefined, asked: Asked): void {
    this.#pages.add(digestOf(this.#next ?? ''));
    const known = this.#tags.size;
    for (const tag of tags) this.#tags.add(tag);
    this.#idlePages = this.#tags.size > known ? 0 : this.#idlePages + 1;
    if (this.#tags.size > MOST_TAGS || this.#pages.size > MOST_PAGES) {
      throw new ProvisionerError(
        'ERR_LIMIT_EXCEEDED',
        `${asked.host} has more than ${MOST_TAGS} tags, or more than ${MOST_PAGES} pages of them, for ${asked.subject}`,
        {
          hint: 'ask for some of them only: --limit N',
          details: { host: asked.host, tags: MOST_TAGS, pages: MOST_PAGES },
        },
      );
    }
    this.#next = next;
    if (this.next !== undefined && (this.#pages.has(digestOf(this.next)) || this.#idlePages > MOST_IDLE_PAGES))
      throw failed(asked, 'its pages come to no end');
  }
}

function digestOf(query: string): string {
  return createHash('sha256').update(query).digest('base64');
}
