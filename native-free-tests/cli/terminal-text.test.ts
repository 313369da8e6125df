import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { terminalJson, terminalLines, terminalText } from '#src/cli/output/terminal-text.js';

/** The C0 and C1 controls, DEL, the line separators and the bidirectional controls, spelled out apart from the product's own pattern. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
const DANGEROUS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
const anyText = fc.string({ unit: 'binary' });

describe('text for a terminal', () => {
  it.each([
    ['clears the screen', '\u001b[2J', '\\x1b[2J'],
    ['uses the one-byte form of an escape sequence', '\u009b31mred', '\\x9b31mred'],
    ['sets the title of the window', '\u001b]0;root@host\u0007', '\\x1b]0;root@host\\x07'],
    ['overwrites its own line', 'bad\rgood', 'bad\\rgood'],
    ['forges a line of its own', 'x\nprovisioner: done', 'x\\nprovisioner: done'],
    ['turns the reading direction', 'app\u202egpj.exe', 'app\\u202egpj.exe'],
    ['hides letters that do not show', 'ap\u200bp', 'ap\\u200bp'],
    ['begins a line with a separator', 'a\u2028b', 'a\\u2028b'],
    ['uses a control character beyond the basic plane', 'a\u{e0001}b', 'a\\u{e0001}b'],
    ['is half a character', 'a\ud800b', 'a\\ud800b'],
  ])('shows what it is when it %s', (_, text, shown) => {
    expect(terminalText(text)).toBe(shown);
  });

  it('leaves ordinary text of any language as it is', () => {
    const text = 'docker.io/library/app:v1 größe 大きさ 🦀 \\x1b';
    expect(terminalText(text)).toBe(text);
  });

  it('never holds a character that a terminal obeys', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(terminalText(text)).not.toMatch(DANGEROUS);
      }),
    );
  });

  it('keeps the lines of a stack, and nothing else that a terminal obeys', () => {
    expect(terminalLines('Error: \u001b[2J\n    at here\r\n')).toBe('Error: \\x1b[2J\n    at here\\r\n');
  });
});

describe('JSON for a terminal', () => {
  it('parses to the same value and holds nothing that a terminal obeys but its own line feeds', () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, anyText), fc.constantFrom(undefined, 2), (value, space) => {
        const json = terminalJson(JSON.stringify(value, undefined, space));
        expect(JSON.parse(json)).toEqual(value);
        expect(json.replaceAll('\n', '')).not.toMatch(DANGEROUS);
      }),
    );
  });

  it('writes as escapes what JSON itself would let pass', () => {
    expect(terminalJson(JSON.stringify('\u009b2J \u202e \u{e0001}'))).toBe('"\\u009b2J \\u202e \\udb40\\udc01"');
  });
});
