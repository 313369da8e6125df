import { ProvisionerError } from '../../base/errors.js';
import { malformedSource } from '../source-errors.js';
import type { TarMember } from './tar-members.js';

/** Links that lead to links. `docker save` used one step, for a layer that two images share. */
const MAX_LINKS = 16;
/** Bytes of a path with all its links followed, at most: on a disk no longer one could be reached. @see path_resolution(7), PATH_MAX */
const MAX_PATH = 4096;
/** Names looked up on the way to all that is asked for: real archives need a few for each member. */
const MAX_STEPS = 5_000_000;

/**
 * The members of an archive as the tree of files that it would be unpacked to: links are followed, symbolic ones also where they stand in the place of a directory, and what is written through one
 * lies where that leads. Nothing is on a disk, so all of it stays inside, as in a chroot: an absolute link begins at the top, and there is nothing above that.
 */
export class MemberTree {
  readonly #label: string;
  readonly #members = new Map<string, TarMember>();
  #hasLinks = false;
  #steps = 0;

  constructor(label: string) {
    this.#label = label;
  }

  /** As with tar itself, what is appended later replaces what came before. @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED` */
  add(member: TarMember): void {
    this.#members.set(this.#resolve(normaliseName(member.name, this.#label), 'directories'), member);
    this.#hasLinks ||= member.kind === 'symlink';
  }

  /** Whether there is a member of that name, whatever it is. */
  has(name: string): boolean {
    return this.#members.has(this.#resolve(normaliseName(name, this.#label), 'directories'));
  }

  /**
   * A member, links followed.
   * @param name as another member writes it; normalised here
   * @returns undefined when there is no such member
   * @throws ProvisionerError `ERR_SOURCE_MALFORMED` for a name that leads out of the archive, links that lead round in circles, or a member that is no file; `ERR_LIMIT_EXCEEDED`
   */
  find(name: string): TarMember | undefined {
    let wanted = name;
    for (let links = 0; links <= MAX_LINKS; links++) {
      const path = this.#resolve(normaliseName(wanted, this.#label), 'all');
      const member = this.#members.get(path);
      if (member?.kind !== 'hardlink') {
        if (member === undefined || member.kind === 'file') return member;
        throw malformedSource(this.#label, `${JSON.stringify(path.slice(0, 200))} is not a file`);
      }
      wanted = member.target;
    }
    throw this.#circles(name);
  }

  /** @param follow which symlinks: those in the place of directories, or the last component too */
  #resolve(path: string, follow: 'directories' | 'all'): string {
    if (!this.#hasLinks) return path;
    const todo = path.split('/').reverse();
    let current: string[] = [];
    let links = 0;
    // Of what is done and what is left to do.
    let length = path.length;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (++this.#steps > MAX_STEPS) throw this.#tooMany();
      if (name === '' || name === '.') continue;
      if (name === '..') {
        current.pop();
        continue;
      }
      current.push(name);
      if (todo.length === 0 && follow === 'directories') break;
      const member = this.#members.get(current.join('/'));
      if (member?.kind !== 'symlink') continue;
      if (++links > MAX_LINKS) throw this.#circles(path);
      length += member.target.length;
      if (length > MAX_PATH) throw this.#tooLong(path);
      current = member.target.startsWith('/') ? [] : current.slice(0, -1);
      todo.push(...member.target.split('/').reverse());
    }
    return current.join('/');
  }

  #circles(name: string): ProvisionerError {
    return malformedSource(this.#label, `${JSON.stringify(name.slice(0, 200))} leads round in circles`);
  }

  #tooLong(name: string): ProvisionerError {
    const problem = `links lead from ${JSON.stringify(name.slice(0, 200))} to a path that is too long`;
    return malformedSource(this.#label, problem);
  }

  #tooMany(): ProvisionerError {
    return new ProvisionerError('ERR_LIMIT_EXCEEDED', `${this.#label} has too many links in its members' names`, {
      details: { limit: MAX_STEPS },
    });
  }
}

/** `./a//b` and `/a/b` are `a/b`; `./`, `/` and an empty name are the top, which is no file. What leads out is refused: no tool that writes images needs it. */
function normaliseName(name: string, label: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (!parts.includes('..')) return parts.join('/');
  throw malformedSource(label, `${JSON.stringify(name.slice(0, 200))} leads out of it`);
}
