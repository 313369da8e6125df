import type { LeftOut } from '../container-files.js';

const MOST = 100;

/** Takes what of a tree is not copied, as it comes. */
export interface LeftOutNotes {
  note(path: string, what: LeftOut['what']): void;
}

/** What of a tree was not copied, as far as anybody will read it. */
export class LeftOutList implements LeftOutNotes {
  readonly first: LeftOut[] = [];

  note(path: string, what: LeftOut['what']): void {
    if (this.first.length < MOST) this.first.push({ path, what });
  }
}
