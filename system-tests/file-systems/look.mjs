// @ts-check
/* node look.mjs ROOT LIBRARY: looks at a store that can only be read, then tries to change it; prints as JSON what came of each. It decides nothing. */
const [root = '', library = ''] = process.argv.slice(2);
const { Provisioner } = await import(library);
const p = await Provisioner.open({ root });
/** @type {Record<string, unknown>} */
const outcome = {};
/** @type {Record<string, () => Promise<unknown>>} */
const calls = {
  images: async () => (await p.images.list()).length,
  containers: async () => (await p.containers.list()).length,
  info: async () => (await p.store.info()).layers,
  'disk usage': async () => (await p.store.usage()).images.length,
  check: async () => (await p.store.check({ full: true })).sound,
  why: async () => (await p.store.why('whole')).kind !== '',
  prune: () => p.pruneImages(),
  provision: () => p.provision('new', 'whole', { backend: 'copy' }),
  destroy: () => p.destroy('kept'),
  recover: () => p.recover(),
  tag: () => p.images.tag('whole', 'again'),
};
for (const [name, call] of Object.entries(calls)) {
  try {
    outcome[name] = await call();
  } catch (error) {
    outcome[name] = /** @type {{ code?: string }} */ (error).code ?? String(error);
  }
}
await p.close();
console.log(JSON.stringify(outcome));
