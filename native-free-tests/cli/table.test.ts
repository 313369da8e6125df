import { describe, expect, it } from 'vitest';
import { formatTable } from '#src/cli/output/table.js';

describe('a table', () => {
  it('begins every column at the same place in all lines and ends lines without spaces', () => {
    const table = formatTable(
      ['NAME', 'SIZE', 'NOTE'],
      [
        ['a', '1.0MB', ''],
        ['a-longer-name', '2B', 'x'],
      ],
    );
    expect(table).toBe(
      ['NAME            SIZE    NOTE', 'a               1.0MB', 'a-longer-name   2B      x', ''].join('\n'),
    );
  });

  it('has its headings alone when there is nothing to list', () => {
    expect(formatTable(['NAME', 'SIZE'], [])).toBe('NAME   SIZE\n');
  });

  it('counts characters outside of the basic plane once', () => {
    expect(formatTable(['AB', 'C'], [['🦀', 'x']])).toBe('AB   C\n🦀    x\n');
  });

  it('keeps a row on one line whatever its cells hold', () => {
    const table = formatTable(['A', 'B'], [['one\ntwo', '\u001b[2J']]);
    expect(table).toBe('A          B\none\\ntwo   \\x1b[2J\n');
  });
});
