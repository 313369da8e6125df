import { describe, expect, it } from 'vitest';
import { scan, sourceFiles, unitOf } from './source-files.js';

const values = (text: string) => scan(text).literals.map(({ value }) => value);

describe('the scanner that the rules about source files rest on', () => {
  it('finds strings and templates, and not what only looks like one', () => {
    expect(values(`const a = 'x'; // 'comment'`)).toEqual(['x']);
    expect(values(`/* 'a' */ f("b", \`c\`)`)).toEqual(['b', 'c']);
    expect(values(`const pattern = /['"\`/]/g; g('after')`)).toEqual(['after']);
    expect(values(`const half = a / b; g('after') / 2`)).toEqual(['after']);
    expect(values(`'it\\'s'`)).toEqual([`it's`]);
  });

  it('looks into the expressions of a template', () => {
    expect(values(`\`a\${f({ b: \`c\${d}\` }, "e")}f\``)).toEqual(['c\0', 'e', 'a\0f']);
  });

  it('keeps code in its place and blanks out the rest', () => {
    const text = `one('two'); // three\nfour(/five/)`;
    const { code } = scan(text);
    expect(code).toBe(`one('   ');         \nfour(      )`);
    expect(code.length).toBe(text.length);
  });

  it('refuses a file in which it has lost its way', () => {
    expect(() => scan(`const a = 'never closed`)).toThrow('never closed');
    expect(() => scan('`${ never closed')).toThrow('never closed');
  });

  it('can read every source file', () => {
    const files = sourceFiles();
    expect(files.length).toBeGreaterThan(50);
    for (const file of files) expect(() => scan(file.text), file.path).not.toThrow();
  });

  it('knows the room of a file', () => {
    expect(unitOf('src/base/errors.ts')).toBe('base');
    expect(unitOf('src/cli/commands/images/pull.ts')).toBe('cli');
    expect(unitOf('src/system/syscalls/native/libc/libc.ts')).toBe('system/syscalls');
    expect(unitOf('src/paths.ts')).toBe('paths');
  });
});
