import { isDigest } from '../image/digest.js';
import { type Descriptor, parseIndex } from '../image/manifest.js';
import type { BlobAccess } from './blob-access.js';
import { type Candidate, ManifestChooser, type Survey } from './choose-manifest.js';
import { matchByName, type NamedEntry, namesOf, offeredNames } from './image-names.js';
import { OfferBudget } from './offer-budget.js';
import { offerImage } from './offer-image.js';
import type { OfferedImage, PullOptions } from './puller.js';
import { imageNotOffered, severalImages } from './source-errors.js';

const REF_NAME = 'org.opencontainers.image.ref.name';
const CONTAINERD_NAME = 'io.containerd.image.name';

interface IndexEntry extends NamedEntry {
  readonly descriptor: Descriptor;
}

/** A manifest that fits, and the entries of the index that lead to it. */
interface Choice {
  readonly candidate: Candidate;
  readonly names: Set<string>;
  readonly label: string;
}

/**
 * The images of an `index.json`, in a directory or in an archive.
 *
 * Entries of one name are one image for several platforms, of which the best is taken; so are all entries without a name
 * (some builders write the platforms straight into `index.json`). What is left must be one image, unless all are wanted.
 * @param text of `index.json`
 * @param wanted `one` picks by `options.reference`, or takes the only one; `all` is for loading a whole archive
 */
export async function offerOciImages(
  text: string,
  blobs: BlobAccess,
  wanted: 'one' | 'all',
  options: PullOptions,
): Promise<OfferedImage[]> {
  const entries = parseIndex(text, `index.json of ${blobs.label}`).manifests.map(toEntry);
  const chooser = new ManifestChooser(blobs, options.platform);
  const { reference } = options;
  const choices =
    reference === undefined
      ? await chooseByGroup(entries, chooser)
      : await chooseNamed(entries, reference, chooser, blobs.label);
  if (wanted === 'one' && choices.length > 1)
    throw severalImages(
      blobs.label,
      choices.map((choice) => choice.label),
    );
  const images: OfferedImage[] = [];
  const budget = new OfferBudget(blobs.label);
  for (const { candidate, names } of choices) {
    const offered = await offerImage(blobs, candidate, [...names]);
    const image = candidate.root === offered.id ? offered : { ...offered, chosenFrom: candidate.root };
    budget.add(image);
    images.push(image);
  }
  return images;
}

async function chooseByGroup(entries: readonly IndexEntry[], chooser: ManifestChooser): Promise<Choice[]> {
  const all: Survey = { candidates: [], offered: [], refusals: [] };
  const choices: Choice[] = [];
  for (const [key, group] of groupEntries(entries)) {
    const survey = await chooser.survey(group.map((entry) => entry.descriptor));
    all.offered.push(...survey.offered);
    all.refusals.push(...survey.refusals);
    if (survey.candidates.length === 0) continue;
    const [best, ...ties] = chooser.best(survey);
    // Two that fit equally under one name are one image written twice; without a name they are two images.
    const chosen = key === '' ? [best, ...ties] : [best];
    const names = group.flatMap((entry) => entry.names);
    choices.push(
      ...chosen.map((candidate) => ({ candidate, names: new Set(names), label: key || candidate.descriptor.digest })),
    );
  }
  if (choices.length === 0) throw chooser.noCandidate(all);
  return mergeByDigest(choices);
}

async function chooseNamed(
  entries: readonly IndexEntry[],
  reference: string,
  chooser: ManifestChooser,
  label: string,
): Promise<Choice[]> {
  // `app@sha256:…` too: the digest says which image, whatever the source calls it.
  const digest = reference.slice(reference.lastIndexOf('@') + 1);
  if (isDigest(digest)) return chooseByDigest(entries, digest, chooser, label);
  const matches = matchByName(entries, reference);
  if (matches.length === 0) throw imageNotOffered(label, reference, offeredNames(entries));
  return chooseByGroup(matches, chooser);
}

/** A digest names an entry of `index.json`, or a manifest in an index below it. */
async function chooseByDigest(
  entries: readonly IndexEntry[],
  digest: string,
  chooser: ManifestChooser,
  label: string,
): Promise<Choice[]> {
  const direct = entries.filter((entry) => entry.descriptor.digest === digest);
  const survey = await chooser.survey((direct.length > 0 ? direct : entries).map((entry) => entry.descriptor));
  if (direct.length > 0) {
    const [candidate] = chooser.best(survey);
    return [{ candidate, names: new Set(direct.flatMap((entry) => entry.names)), label: digest }];
  }
  const candidate = survey.candidates.find(({ descriptor }) => descriptor.digest === digest);
  if (candidate === undefined) throw imageNotOffered(label, digest, offeredNames(entries));
  return [{ candidate, names: new Set(), label: digest }];
}

/** The same image under two names is one image with two names. */
function mergeByDigest(choices: readonly Choice[]): Choice[] {
  const merged = new Map<string, Choice>();
  for (const choice of choices) {
    const earlier = merged.get(choice.candidate.descriptor.digest);
    if (earlier === undefined) merged.set(choice.candidate.descriptor.digest, choice);
    else for (const name of choice.names) earlier.names.add(name);
  }
  return [...merged.values()];
}

/** By the best name that an entry has; the empty key holds the nameless. */
function groupEntries(entries: readonly IndexEntry[]): Map<string, IndexEntry[]> {
  const groups = new Map<string, IndexEntry[]>();
  for (const entry of entries) {
    const key = entry.names[0] ?? entry.written[0] ?? '';
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [entry]);
    else group.push(entry);
  }
  return groups;
}

/** containerd's name is always a full one; the other may be a bare tag. */
function toEntry(descriptor: Descriptor): IndexEntry {
  const annotations = descriptor.annotations ?? {};
  return { descriptor, ...namesOf([annotations[CONTAINERD_NAME], annotations[REF_NAME]]) };
}
