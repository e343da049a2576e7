// What the gas snapshots say: `bench` judges them by snapshots/targets.json, `readme` writes README's table from them,
// `readme-check` fails when it is not what the snapshots give.
import { readFileSync, writeFileSync } from 'node:fs';

const read = (name) => JSON.parse(readFileSync(`snapshots/${name}.json`, 'utf8'));
const areas = ['market', 'pool', 'oracle', 'hashproof', 'court', 'payout'];
const ours = Object.assign({}, ...areas.map((area) => read(`${area}.release`)));
const [targets, peers, published] = ['targets', 'peers.release', 'published'].map(read);

const beside = (name) => `${peers[name].toLocaleString('en')} measured beside it`;
const told = (name) => `${published[name].gas.toLocaleString('en')} published`;
// what, our row, what others take for the same
const rows = [
  ['transfer of a position, again in an epoch', 'transferSameEpoch', `OpenZeppelin ERC-20 ${beside('openZeppelinErc20Transfer')}; ERC20Votes ${beside('openZeppelinErc20VotesTransferSameBlock')}`],
  ['transfer of a position, first in an epoch', 'transferFirstTouch', `ERC20Votes ${beside('openZeppelinErc20VotesTransferNewCheckpoint')}`],
  ['fill of a signed quote', 'rfqFill', `0x Settler RFQ ${told('zeroExSettlerRfq')}, 0x v4 OTC ${told('zeroExV4Otc')}`],
  ['fill of a part of a limit order', 'limitFill', `Seaport 1.6 basic order ${told('seaport16BasicOrder')}, fulfillOrder ${told('seaport16FulfillOrder')}`],
  ['two makers matched', 'matchOrders', `Seaport 1.6 ${told('seaport16MatchOrders')}`],
  ['cancel a signed quote', 'cancelRfq', `Seaport 1.6 ${told('seaport16Cancel')}`],
  ['cancel a group of orders', 'cancelGroup', ''],
  ['cancel a partly filled order', 'cancelOrder', `Seaport 1.6 ${told('seaport16Cancel')}`],
  ['sale to the buyback pool', 'poolSell', `Uniswap v4 swap of the same tokens ${beside('uniswapV4Swap')}`],
  ['report of an epoch, one series', 'reportOneSeries3Signers', ''],
  ['report of an epoch, four series', 'reportFourSeries3Signers', ''],
  ['commit of an epoch, one payout transaction', 'commit', ''],
  ['proof of a payout to 200 accounts, calldata at 4 and 16', 'payout200', ''],
  ['the same where calldata has a floor', 'payout200Floor', ''],
  ['one more Bitcoin header in a proof, without calldata', 'header', ''],
  ['challenge of a wrong share, upheld', 'wrongShare', ''],
  ['the same at its largest', 'wrongShareFourPiecesTwoWrappers', ''],
  ['proof of hashrate, 16 shares, calldata at 4 and 16', 'hashProof16', ''],
  ['the same where calldata has a floor', 'hashProof16Floor', ''],
];

function bench() {
  let short = 0;
  for (const [name, target] of Object.entries(targets)) {
    const ok = ours[name] <= target;
    short += ok ? 0 : 1;
    console.log(`${name}: ${ours[name]} (${target}) ${ok ? 'ok' : 'short'}`);
  }
  for (const [name, gas] of Object.entries(peers)) console.log(`beside us, ${name}: ${gas}`);
  for (const [name, { gas, source }] of Object.entries(published)) console.log(`published, ${name}: ${gas} (${source})`);
  console.log('skipped, published figures stand for them: Seaport 1.6, 0x Settler');
  return short === 0;
}

function table() {
  const lines = ['| gas of a whole transaction | target | ours | others |', '|---|---|---|---|'];
  for (const [what, name, others] of rows) {
    if (ours[name] === undefined || targets[name] === undefined) throw new Error(`no row or target ${name} in snapshots/`);
    const ok = ours[name] <= targets[name];
    lines.push(
      `| ${what} | ${targets[name].toLocaleString('en')} | ${ours[name].toLocaleString('en')}${ok ? '' : ' (short)'} | ${others || '–'} |`,
    );
  }
  return lines.join('\n');
}

function readme(check) {
  const [begin, end] = ['<!-- BEGIN gas: ./scripts/gas readme -->', '<!-- END gas -->'];
  const text = readFileSync('README.md', 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md lacks ${begin} or ${end}`);
  const fresh = `${text.slice(0, from + begin.length)}\n${table()}\n${text.slice(to)}`;
  if (!check) writeFileSync('README.md', fresh);
  else if (fresh !== text) console.error("README's gas table is not what snapshots/ give: run ./scripts/gas readme");
  return !check || fresh === text;
}

const commands = { bench, readme: () => readme(false), 'readme-check': () => readme(true) };
process.exit(commands[process.argv[2]]() ? 0 : 1);
