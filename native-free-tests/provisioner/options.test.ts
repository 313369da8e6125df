import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { PULL_LIMITS } from '#src/base/config.js';
import { checkOptions, type OptionTable, type Rule } from '#src/base/options/check-options.js';
import { inspectRemote, listTags, login, logout, Provisioner, type ProvisionerError } from '#src/index.js';
import * as o from '#src/provisioner/options.js';
import { PRUNE_OPTIONS } from '#src/prune/prune-options.js';
import { REGISTRY_OPTIONS } from '#src/registry/registry-options.js';
import * as r from '#src/remote/remote-options.js';
import { sourceFiles } from '../architecture/source-files.js';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

type Table = Readonly<Record<string, Rule>>;
type Call = (p: Provisioner, options: never) => Promise<unknown>;

const LAUNCH = { id: 'a'.repeat(32), containerId: 'c', bootId: 'boot', spec: '{}', removal: 'keep' } as const;
const ME = { username: 'me', password: 'pw' };

/** Each type of options: its table, and a call that takes it. */
const OPTIONS: Readonly<Record<string, readonly [name: string, table: Table, call: Call]>> = {
  ProvisionerOptions: ['open', o.PROVISIONER_OPTIONS, (_, options) => Provisioner.open(options)],
  PullImageOptions: ['images.pull', o.PULL_IMAGE_OPTIONS, (p, options) => p.images.pull('app', options)],
  ImageRequestOptions: ['images.request', o.IMAGE_REQUEST_OPTIONS, (p, options) => p.images.request('app', options)],
  PullAgainOptions: ['images.pullAgain', o.PULL_AGAIN_OPTIONS, (p, options) => p.images.pullAgain('app', options)],
  LayerTarOptions: ['images.layerTar', o.LAYER_TAR_OPTIONS, (p, options) => p.images.layerTar('sha256:0', options)],
  LoadOptions: ['images.load', o.LOAD_OPTIONS, (p, options) => p.images.load('/archive', options)],
  ProvisionOptions: ['provision', o.PROVISION_OPTIONS, (p, options) => p.provision('c', 'app', options)],
  ForkOptions: ['fork', o.FORK_OPTIONS, (p, options) => p.fork('c', 'd', options)],
  DestroyOptions: ['destroy', o.DESTROY_OPTIONS, (p, options) => p.destroy('c', options)],
  PruneOptions: ['pruneImages', PRUNE_OPTIONS, (p, options) => p.pruneImages([], options)],
  ApplyPlanOptions: ['store.applyPlan', o.APPLY_PLAN_OPTIONS, (p, options) => p.store.applyPlan({} as never, options)],
  RecoverOptions: ['recover', o.RECOVER_OPTIONS, (p, options) => p.recover(options)],
  ContainersOptions: ['containers.list', o.CONTAINERS_OPTIONS, (p, options) => p.containers.list(options)],
  LaunchesOptions: ['launches.list', o.LAUNCHES_OPTIONS, (p, options) => p.launches.list(options)],
  FollowLaunchEventsOptions: [
    'launches.follow',
    o.FOLLOW_LAUNCH_EVENTS_OPTIONS,
    async (p, options) => p.launches.follow(options).next(),
  ],
  LaunchEventsOptions: ['launches.events', o.LAUNCH_EVENTS_OPTIONS, (p, options) => p.launches.events(options)],
  PutLaunchOptions: ['launches.put', o.PUT_LAUNCH_OPTIONS, (p, options) => p.launches.put(LAUNCH, options)],
  VolumesOptions: ['volumes.list', o.VOLUMES_OPTIONS, (p, options) => p.volumes.list(options)],
  RemoveVolumeOptions: ['volumes.remove', o.REMOVE_VOLUME_OPTIONS, (p, options) => p.volumes.remove('data', options)],
  CheckOptions: ['store.check', o.CHECK_OPTIONS, (p, options) => p.store.check(options)],
  TurnOptions: ['containers.inTurn', o.TURN_OPTIONS, (p, options) => p.containers.inTurn('c', async () => 7, options)],
  DiskUsageOptions: ['store.usage', o.DISK_USAGE_OPTIONS, (p, options) => p.store.usage(options)],
  CloseOptions: ['close', o.CLOSE_OPTIONS, (p, options) => p.close(options)],
  LoginOptions: ['login', r.LOGIN_OPTIONS, (_, options) => login('r.example', ME, options)],
  LoginFileOptions: ['logout', r.LOGIN_FILE_OPTIONS, (_, options) => logout('r.example', options)],
  ListTagsOptions: ['listTags', r.LIST_TAGS_OPTIONS, (_, options) => listTags('app', options)],
  InspectRemoteOptions: ['inspectRemote', r.INSPECT_REMOTE_OPTIONS, (_, options) => inspectRemote('app', options)],
  // Those come inside of others.
  LoginRegistryOptions: ['login', r.LOGIN_REGISTRY_OPTIONS, (_, registry) => login('r.example', ME, { registry })],
  RegistryOptions: ['store.check', REGISTRY_OPTIONS, (p, registry) => p.store.check({ registry })],
  PullLimits: ['open', PULL_LIMITS, (_, limits) => Provisioner.open({ root: '/nowhere', limits })],
};

const entries = Object.entries(OPTIONS).map(([type, [name, table, call]]) => [type, name, table, call] as const);
const each = entries.flatMap(([type, name, table, call]) =>
  Object.keys(table).map((option) => [type, option, name, call] as const),
);

function refusal(message: string | RegExp, hint?: string) {
  const text = typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message);
  return {
    code: 'ERR_BAD_OPTION',
    message: text,
    ...(hint === undefined ? {} : { hint: expect.stringContaining(hint) }),
  };
}

describe('the options of the public surface', () => {
  it('are all in the list of these tests, each with a table', () => {
    const index = sourceFiles().find(({ path }) => path === 'src/index.ts')?.text ?? '';
    const types = [...index.matchAll(/\b(?:[A-Z]\w*Options|PullLimits)\b/g)].map(([type]) => type);
    expect(types.sort()).toEqual(Object.keys(OPTIONS).sort());
  });

  it('are taken by no method that is not in it', () => {
    const text = sourceFiles()
      .filter(({ path }) =>
        /^src\/(?:provisioner|provisioner\/calls|remote)\/(?:provisioner|\w+-calls)\.ts$/.test(path),
      )
      .map((file) => file.text)
      .join('');
    const taken = [...text.matchAll(/\boptions: (?:o\.)?(\w+) = \{\}/g)].map(([, type]) => type);
    const checked = [...text.matchAll(/(?:check|take)Options\('[\w.]+', (?:o\.)?(\w+), options\)/g)].map(
      ([, table]) => table,
    );
    expect(taken.length).toBe(checked.length);
    expect(taken.map((type) => type?.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase())).toEqual(checked);
  });

  it.each(each)('of %s: %s is turned down when it is nothing that could be meant', async (_, option, name, call) => {
    const p = await openMemoryStore();
    // A function is what is meant where something is to be told.
    const nonsense = ['onWarning', 'whileCopied'].includes(option) ? 'x' : () => 1;
    for (const value of [null, Number.NaN, -1, nonsense, Symbol('x'), [[]], { [option]: option }]) {
      await expect(call(p, { [option]: value } as never), String(value)).rejects.toMatchObject(
        refusal(new RegExp(`^${name}: .*${option}`)),
      );
    }
  });

  it.each(entries)('of %s are turned down when one of them is unknown, or when they are no object', async (...row) => {
    const [, name, table, call] = row;
    const p = await openMemoryStore();
    await expect(call(p, { nonsense: undefined } as never)).rejects.toMatchObject(
      refusal(new RegExp(`^${name}: there is no option (registry\\.|limits\\.)?nonsense$`), Object.keys(table)[0]),
    );
    for (const options of [null, 7, 'text', [], true]) {
      await expect(call(p, options as never), String(options)).rejects.toMatchObject(refusal(/must be an object/));
    }
  });

  it.each(entries)('of %s may all be undefined, which is as if they were left out', (_, name, table) => {
    const options = Object.fromEntries(Object.keys(table).map((option) => [option, undefined]));
    expect(() => checkOptions(name, table as OptionTable<unknown>, options)).not.toThrow();
  });
});

describe('options that are undefined', () => {
  it('leave the defaults as they are', async () => {
    const nothing = (table: Table) => Object.fromEntries(Object.keys(table).map((option) => [option, undefined]));
    const root = join(temporaryDirectory(), 'store');
    const limits = nothing(PULL_LIMITS);
    const p = await Provisioner.open({ ...nothing(o.PROVISIONER_OPTIONS), limits, root, records: 'memory' });
    const source = await layoutOf(buildImage([buildLayer([{ path: 'app', content: 'v1' }])]));
    await p.images.pull(source, { ...nothing(o.PULL_IMAGE_OPTIONS), name: 'app' });
    await p.provision('c', 'app', { ...nothing(o.PROVISION_OPTIONS), backend: 'copy' });
    expect(await p.destroy('c', nothing(o.DESTROY_OPTIONS))).toBe(true);
    await p.close(nothing(o.CLOSE_OPTIONS));
  });
});

describe('what is turned down', () => {
  it.each<[string, (p: Provisioner) => Promise<unknown>, string | RegExp, string?]>([
    ['dryrun', (p) => p.pruneImages([], { dryrun: true } as never), 'no option dryrun', 'did you mean dryRun?'],
    ['dry-run', (p) => p.pruneImages([], { 'dry-run': true } as never), 'no option dry-run', 'did you mean dryRun?'],
    ['a letter too few', (p) => p.pruneImages([], { keepByts: 1 } as never), 'no option keepByts', 'mean keepBytes?'],
    [
      'two letters changed',
      (p) => p.images.pull('a', { platfrom: 'x' } as never),
      'platfrom',
      'did you mean platform?',
    ],
    ['a far one', (p) => p.destroy('a', { force: true } as never), 'no option force', 'there are: anyOwner, signal'],
    ['an inherited name', (p) => p.destroy('a', { constructor: 1 } as never), 'no option constructor'],
    [
      'a nested one',
      (p) => p.images.pull('a', { registry: { retrys: 1 } } as never),
      'registry.retrys',
      'mean registry.retries?',
    ],
    ['a size with a unit', (p) => p.pruneImages([], { keepBytes: '5G' } as never), 'keepBytes must be a whole'],
    ['a half worker', () => Provisioner.open({ workers: 1.5 }), 'workers must be a whole number from 1 to 64; not 1.5'],
    ['a backend', () => Provisioner.open({ backend: 'x' } as never), 'one of auto, overlay, copy, bind; not "x"'],
    ['an empty root', () => Provisioner.open({ root: '' }), 'root must be a path'],
    ['a root with NUL', () => Provisioner.open({ root: '/a\0b' }), 'root must be a path'],
    ['a limit below zero', () => Provisioner.open({ limits: { maxEntries: -1 } }), 'limits.maxEntries must be'],
    ['a limit that is none', () => Provisioner.open({ limits: { maxImageBytes: Number.NaN } }), 'not NaN'],
    ['a timeout that no timer can wait', () => Provisioner.open({ lockTimeout: 2 ** 31 }), 'lockTimeout must be'],
    [
      'a controller',
      (p) => p.images.pull('a', { signal: new AbortController() as never }),
      'signal must be an AbortSignal',
    ],
    [
      'half of the credentials',
      (p) => p.images.pull('a', { registry: { credentials: { username: 'me' } as never } }),
      'registry.credentials.password is missing',
    ],
    ['one known id', (p) => p.recover({ knownContainerIds: 'job-1' as never }), 'knownContainerIds must be a list'],
    ['one exclusion', (p) => p.pruneImages('app:v2' as never), 'excludedImages must be a list'],
    ['a pull without a source', (p) => p.images.pull(undefined as never), 'source must be a text; it is missing'],
    ['a request without one', (p) => p.images.request(undefined as never), 'source must be a text; it is missing'],
    [
      'a provision without an image',
      (p) => p.provision('x', undefined as never),
      'image must be a text; it is missing',
    ],
    ['a destroy without an id', (p) => p.destroy(undefined as never), 'containerId must be a text; it is missing'],
    ['a tag without a name', (p) => p.images.tag('app', undefined as never), 'name must be a text; it is missing'],
    ['a pin of nothing', (p) => p.images.pin(undefined as never), 'image must be a text'],
    ['a why without a thing', (p) => p.store.why(undefined as never), 'thing must be a text; it is missing'],
    [
      'an archive that is none',
      (p) => p.images.load(Buffer.from('x') as never),
      'input must be the path of an archive',
    ],
    [
      'an archive to write to',
      (p) => p.images.load(new Writable() as never),
      'input must be the path of an archive, or a stream of one; not a',
    ],
    ['half of a stream', (p) => p.images.load({ pipe: () => {} } as never), 'input must be the path of an archive'],
    [
      'a signal in place of the options',
      (p) => p.images.pull('app', new AbortController().signal as never),
      /options must be an object with name, .*; not an AbortSignal$/,
    ],
    ['options that are still to come', (p) => p.destroy('c', Promise.resolve({}) as never), 'not a Promise'],
    ['a Map of options', (p) => p.recover(new Map([['knownContainerIds', []]]) as never), 'not a Map'],
    ['the containers of nobody', (p) => p.containers.list({ owner: '' }), 'owner must be a text of 1 to 255'],
    ['nothing to use', async (p) => p.use(undefined as never), 'wing must be an object with open'],
    ['a function to use', async (p) => p.use((() => 1) as never), 'wing must be an object with open'],
    ['a wing that cannot be opened', async (p) => p.use({ open: 1 } as never), 'wing must be an object with open'],
    ['one that cannot be closed', async (p) => p.use({ open: () => 1, close: 1 } as never), 'and close if it has one'],
    ['an archive without a name', (p) => p.images.load(''), 'input must be the path of an archive'],
  ])('says what was meant: %s', async (_, call, message, hint) => {
    await expect(call(await openMemoryStore())).rejects.toMatchObject(refusal(message, hint));
  });

  it('is never shown where it may be a secret', async () => {
    const p = await openMemoryStore();
    for (const credentials of [
      'me:secret-4711',
      { username: 'me', password: 4711 },
      { username: 'me', pasword: '4711' },
    ]) {
      const error = await p.images
        .pull('app', { registry: { credentials } } as never)
        .catch((reason: ProvisionerError) => reason);
      expect(error).toMatchObject({ code: 'ERR_BAD_OPTION' });
      expect(JSON.stringify([(error as ProvisionerError).message, error])).not.toContain('4711');
    }
  });

  it('changes nothing: no store is made, and none is touched', async () => {
    const root = temporaryDirectory();
    await expect(Provisioner.open({ root: join(root, 'store'), recordz: 'memory' } as never)).rejects.toThrow(
      'recordz',
    );
    expect(readdirSync(root)).toEqual([]);
    const p = await openMemoryStore();
    await p.images.pull(await layoutOf(buildImage([buildLayer([{ path: 'app' }])])), { name: 'app' });
    await expect(p.pruneImages([], { dryrun: true } as never)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    expect(await p.images.list()).toHaveLength(1);
  });
});
