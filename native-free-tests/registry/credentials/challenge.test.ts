import { expect, it } from 'vitest';
import { parseChallenges } from '#src/registry/credentials/challenge.js';

it.each([
  ['Basic realm="Registry"', [{ scheme: 'basic', parameters: { realm: 'Registry' } }]],
  [
    'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
    [
      {
        scheme: 'bearer',
        parameters: {
          realm: 'https://auth.example/token',
          service: 'registry.example',
          scope: 'repository:a/b:pull,push',
        },
      },
    ],
  ],
  [
    'BEARER Realm = "a" , Error=invalid_token',
    [{ scheme: 'bearer', parameters: { realm: 'a', error: 'invalid_token' } }],
  ],
  [String.raw`Basic realm="a \"b\" \\"`, [{ scheme: 'basic', parameters: { realm: 'a "b" \\' } }]],
  [
    'Negotiate, Basic realm="a", Bearer realm="b",service="c"',
    [
      { scheme: 'negotiate', parameters: {} },
      { scheme: 'basic', parameters: { realm: 'a' } },
      { scheme: 'bearer', parameters: { realm: 'b', service: 'c' } },
    ],
  ],
  [
    'NTLM TlRMTVNTUAA=, Basic realm="a"',
    [
      { scheme: 'ntlm', parameters: {} },
      { scheme: 'basic', parameters: { realm: 'a' } },
    ],
  ],
  ['Bearer realm="first",realm="second"', [{ scheme: 'bearer', parameters: { realm: 'first' } }]],
  ['', []],
  ['"nonsense"', []],
  ['Bearer realm="never closed', [{ scheme: 'bearer', parameters: {} }]],
])('the challenge %s is understood', (text, challenges) => {
  expect(parseChallenges([text])).toEqual(challenges);
});

it('several headers are several challenges', () => {
  expect(parseChallenges(['Basic realm="a"', 'Bearer realm="b"']).map(({ scheme }) => scheme)).toEqual([
    'basic',
    'bearer',
  ]);
});

it('a challenge of a megabyte is read in no time', () => {
  const started = performance.now();
  for (const piece of ['a,', 'a=', 'a="', '\\"', ' ', 'Basic a=b, ']) parseChallenges([piece.repeat(200_000)]);
  expect(performance.now() - started).toBeLessThan(5000);
});
