import { describe, expect, it } from 'vitest';
import { matchByName, namesOf } from '#src/sources/image-names.js';

describe('the names that a source gives an image', () => {
  it.each([
    ['app:v1', ['docker.io/library/app:v1']],
    ['docker.io/library/app:v1', ['docker.io/library/app:v1']],
    ['me/app', ['docker.io/me/app:latest']],
    ['localhost:5000/app:v1', ['localhost:5000/app:v1']],
    ['latest', []],
    ['v2', []],
    ['1.0', []],
    ['App:v1', []],
    ['a title: with words', []],
    ['', []],
  ])('%j gives %j', (text, names) => {
    expect(namesOf([text, undefined]).names).toEqual(names);
  });

  it('count once when two annotations say the same', () => {
    expect(namesOf(['docker.io/library/app:v1', 'app:v1']).names).toEqual(['docker.io/library/app:v1']);
  });
});

describe('a reference picks among them', () => {
  const entries = [
    namesOf(['docker.io/library/app:v1', 'v1']),
    namesOf(['app:v2']),
    namesOf(['localhost:5000/me/tool:v1']),
    namesOf(['stable']),
    namesOf([]),
  ];

  it.each([
    ['app:v2', [1]],
    ['docker.io/library/app:v1', [0]],
    ['library/app:v2', [1]],
    ['app', [0, 1]],
    ['localhost:5000/me/tool', [2]],
    ['v1', [0]],
    ['v2', [1]],
    ['stable', [3]],
    ['@4', [4]],
    ['@0', [0]],
    ['@9', []],
    ['app:v3', []],
    ['tool', []],
    ['Stable', []],
    ['', []],
  ])('%j picks %j', (reference, expected) => {
    const picked = matchByName(entries, reference);
    expect(picked.map((entry) => entries.indexOf(entry))).toEqual(expected);
  });
});
