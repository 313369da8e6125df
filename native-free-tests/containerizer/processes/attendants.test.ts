import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { attendantsOf, isMonitorOf } from '#src/containerizer/processes/attendants.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';

describe('who is at a launch', () => {
  it('is who has its lock file open, and its monitor only who works in its directory', () => {
    const id = 'f'.repeat(32);
    const directory = join(temporaryDirectory(), id);
    mkdirSync(directory);
    expect(attendantsOf(id)).toEqual([]);
    const alive = openSync(join(directory, 'alive'), 'w');
    try {
      expect(attendantsOf(id)).toEqual([process.pid]);
      expect(isMonitorOf(process.pid, id)).toBe(false);
    } finally {
      closeSync(alive);
    }
    expect(attendantsOf(id)).toEqual([]);
  });
});
