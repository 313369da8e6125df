import { describe, expect, it } from 'vitest';
import { placeIn, type SourceFile, scan, sourceFiles } from './source-files.js';

/** What the drawing in `src/paths.ts` names. Files elsewhere ask there, so that the layout has one spelling. */
const NAMES = new Set(
  'metadata.sqlite stacking.json users.json contents staging layers gc parked containers backends rootfses rootfs scratch'.split(
    ' ',
  ),
);
/** Names that can be nothing else, wherever they stand. */
const UNMISTAKABLE = /metadata\.sqlite|stacking\.json|users\.json/;

function violations(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => path !== 'src/paths.ts')
    .flatMap((file) => {
      const { literals, code } = scan(file.text);
      const joined = joinedRanges(code);
      return literals
        .filter(({ value, start }) => {
          if (UNMISTAKABLE.test(value)) return true;
          if (joined.some(([from, to]) => start > from && start < to))
            return segments(value).some((name) => NAMES.has(name));
          // Words between slashes are a path; with a space among them they are a sentence, and with a suffix a module.
          return value.includes('/') && !/\s|\.js$/.test(value) && segments(value).some((name) => NAMES.has(name));
        })
        .map(({ value, start }) => `${placeIn(file, start)}: ${value.replaceAll('\0', '…')}`);
    });
}

function segments(value: string): string[] {
  return value.split('/');
}

/** From where to where the arguments of `join(…)` and `resolve(…)` stretch. */
function joinedRanges(code: string): [number, number][] {
  return [...code.matchAll(/\b(?:join|resolve)\(/g)].map(({ index, 0: call }) => {
    let at = index + call.length;
    for (let depth = 1; depth > 0 && at < code.length; at++) {
      if (code[at] === '(') depth++;
      else if (code[at] === ')') depth--;
    }
    return [index, at];
  });
}

describe('the layout of the store', () => {
  it('is spelled in src/paths.ts and nowhere else', () => {
    expect(violations(sourceFiles())).toEqual([]);
  });

  it('is spelled in src/paths.ts with the names that this rule looks for', () => {
    const [paths] = sourceFiles().filter(({ path }) => path === 'src/paths.ts');
    const spelled = scan(paths?.text ?? '').literals.map(({ value }) => value);
    expect([...NAMES].filter((name) => !spelled.includes(name))).toEqual([]);
  });
});

describe('the rule about layout names', () => {
  it.each([
    [`join(root, 'layers')`],
    [`path.join(this.root, 'containers', id)`],
    [`resolve(\`\${root}\`, f(x), 'gc')`],
    [`\`\${root}/staging/\${id}\``],
    [`root + '/rootfses'`],
    [`open('metadata.sqlite')`],
    [`\`\${layer}/stacking.json\``],
  ])('finds %s', (text) => {
    expect(violations([{ path: 'src/pulls/a.ts', text }])).toHaveLength(1);
  });

  it.each([
    [`document.rootfs.type === 'layers'`],
    [`Omit<ContainerRecord, 'rootfses'>`],
    [`import type { Backend } from '../backends/backend.js';`],
    [`hint: 'look into layers/ and gc/ for it'`],
    [`// join(root, 'layers')`],
    [`names.join(', ')`],
  ])('allows %s', (text) => {
    expect(violations([{ path: 'src/pulls/a.ts', text }])).toEqual([]);
  });
});
