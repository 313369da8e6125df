import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { COMMAND_ERRORS, COMMAND_WARNINGS } from '#src/cli/output/command-codes.js';
import { COUNTER_TABLES, ERROR_TABLES, WARNING_TABLES } from '#src/code-lists.js';
import { codesPage } from '../../scripts/codes-page.mjs';
import { type Literal, placeIn, type SourceFile, scan, sourceFiles } from './source-files.js';

const codesOf = (tables: object) => Object.values(tables).flatMap((table: object) => Object.keys(table));
const files = sourceFiles();
const isTable = ({ text }: SourceFile) => /satisfies (?:Error|Warning|Counter)Table;/.test(text);

/** What a call is made of that has this literal among its arguments; undefined for a literal that stands anywhere else, such as in a comparison or a list. */
function calleeOf(code: string, { start }: Literal): string | undefined {
  let depth = 0;
  for (let at = start - 1; at >= 0; at--) {
    const character = code[at] ?? '';
    if (')]}'.includes(character)) depth++;
    else if ('([{'.includes(character) && depth-- === 0)
      return character === '(' ? /[\w.#]+$/.exec(code.slice(0, at).trimEnd())?.[0] : undefined;
  }
  return undefined;
}

/** What only asks for a code. */
const ASKS = /(?:^|\.)(?:isProvisionerError|includes|startsWith|if|Set)$/;

/** Every code that is given to something that throws it, and where. */
function thrown(sources: readonly SourceFile[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of sources.filter((one) => !isTable(one))) {
    const { code, literals } = scan(file.text);
    for (const literal of literals) {
      if (!/^ERR_[A-Z_]+$/.test(literal.value)) continue;
      const callee = calleeOf(code, literal);
      if (callee === undefined || ASKS.test(callee)) continue;
      found.set(literal.value, placeIn(file, literal.start));
    }
  }
  return found;
}

/** The texts outside of the tables. */
function literalsOutside(): Set<string> {
  return new Set(
    files.filter((file) => !isTable(file)).flatMap(({ text }) => scan(text).literals.map(({ value }) => value)),
  );
}

describe('the table of errors', () => {
  it('has every code that is thrown', () => {
    const known = codesOf(ERROR_TABLES);
    expect([...thrown(files)].filter(([code]) => !known.includes(code))).toEqual([]);
  });

  it('has none that nothing throws', () => {
    const codes = thrown(files);
    expect(codesOf(ERROR_TABLES).filter((code) => !codes.has(code))).toEqual([]);
  });

  it('has each code once, whoever declares it', () => {
    const codes = codesOf({ ...ERROR_TABLES, commandLine: COMMAND_ERRORS });
    expect(codes).toHaveLength(new Set(codes).size);
  });
});

describe('what counts as thrown', () => {
  it.each([
    ['an error that is made', `throw new ProvisionerError('ERR_A', 'x');`, ['ERR_A']],
    ['an error over several lines', `throw new ProvisionerError(\n  'ERR_A',\n  'x',\n);`, ['ERR_A']],
    ['what is handed to a helper', `checkDigest(hash, id, 'ERR_A', 'x');`, ['ERR_A']],
    ['not a question', `if (isProvisionerError(error, 'ERR_A', 'ERR_B')) return;`, []],
    ['not a comparison', `if (error.code === 'ERR_A') return;`, []],
    ['not a list', `const OURS = new Set(['ERR_A']);`, []],
    ['not a type', `type Code = 'ERR_A' | 'ERR_B';`, []],
    ['not a comment', `/** @throws ProvisionerError 'ERR_A' */`, []],
  ])('is %s', (_, text, codes) => {
    expect([...thrown([{ path: 'src/a.ts', text: `${text}\n` }]).keys()]).toEqual(codes);
  });
});

test('every warning of the tables is given, and every counter counted, somewhere', () => {
  const literals = literalsOutside();
  const names = [
    ...codesOf({ ...WARNING_TABLES, commandLine: COMMAND_WARNINGS }),
    ...codesOf({ COMMAND_ERRORS }),
    ...codesOf(COUNTER_TABLES),
  ];
  expect(names.filter((name) => !literals.has(name))).toEqual([]);
});

test('every table that is declared is in the lists', () => {
  const declared = files
    .filter(isTable)
    .flatMap(({ text }) => [...text.matchAll(/^export const (\w+) = \{$/gm)].map(([, name = '']) => name));
  const lists = readFileSync(new URL('../../src/code-lists.ts', import.meta.url), 'utf8');
  const missing = declared.filter((name) => !name.startsWith('COMMAND_') && !new RegExp(`: ${name}\\b`).test(lists));
  expect(declared.length).toBeGreaterThan(4);
  expect(missing).toEqual([]);
});

/** The declarations that a user's compiler reads, from the package's entry on. */
function reachedDeclarations(): Set<string> {
  const reached = new Set<string>();
  const waiting = [new URL('../../dist/index.d.ts', import.meta.url).href];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (reached.has(at)) continue;
    reached.add(at);
    const text = readFileSync(new URL(at), 'utf8');
    for (const [, path = ''] of text.matchAll(/(?:from |import |import\()['"](\.[^'"]+)\.js['"]/g))
      waiting.push(new URL(`${path}.d.ts`, at).href);
  }
  return reached;
}

test('whoever uses the package has the codes of every table in his types', () => {
  const adding = files.filter(({ text }) => /^declare module /m.test(text)).map(({ path }) => path);
  const reached = reachedDeclarations();
  const declarationsOf = (path: string) =>
    new URL(`../../${path.replace(/^src/, 'dist').replace(/\.ts$/, '.d.ts')}`, import.meta.url).href;
  expect(adding).toContain('src/registry/registry-codes.ts');
  expect(adding.filter((path) => !reached.has(declarationsOf(path)))).toEqual([]);
});

test('docs/errors.md is what the tables say; `npm run codes-page` writes it', () => {
  const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  const errors = { ...ERROR_TABLES, commandLine: COMMAND_ERRORS };
  const warnings = { ...WARNING_TABLES, commandLine: COMMAND_WARNINGS };
  expect(page).toBe(codesPage({ errors, warnings, counters: { ...COUNTER_TABLES } }));
});

test('errors of ours are recognised by their mark, not by their class, which each copy of the package has for itself', () => {
  const found = files.flatMap((file) =>
    [...scan(file.text).code.matchAll(/instanceof\s+ProvisionerError\b/g)].map((match) => placeIn(file, match.index)),
  );
  expect(found).toEqual([]);
});

test('no command makes a JSON document in passing: functions in src/cli/output/documents do', () => {
  const made = files
    .filter(({ path }) => path.startsWith('src/cli/commands/'))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/output\.(?:document|printDocument)\((.*)\);$/gm)].map(([, value = '']) => `${path}: ${value}`),
    );
  expect(made.length).toBeGreaterThan(12);
  expect(made.filter((value) => /[{[]/.test(value))).toEqual([]);
});
