/** What each follows: Node's own hold on them is a weak one, in Node.js 20 at least. */
const followed = new WeakMap<AbortSignal, readonly AbortSignal[]>();

/**
 * `AbortSignal.any`, of signals of which nobody else has to know any more. Of those that Node makes, one that was given an `AbortSignal.timeout` and nothing else lost it to the garbage collector, and never aborted.
 * @see https://github.com/nodejs/node/issues/54614
 */
export function anySignal(signals: readonly AbortSignal[]): AbortSignal {
  const any = AbortSignal.any([...signals]);
  followed.set(any, signals);
  return any;
}
