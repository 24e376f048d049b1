// Log in, subscribe and print what deribit-v2-ws 0.0.3 receives: `address key secret channel...`.

const ws = require.resolve('ws');
const WebSocket = require(ws);

const [address, key, secret, ...channels] = process.argv.slice(2);

// Its address is fixed: the library below it dials ours.
require.cache[ws].exports = class extends WebSocket {
  constructor() {
    super(address);
  }
};

const client = require('deribit-v2-ws');

const say = line => console.log(JSON.stringify(line));

const main = async () => {
  await client.connect();
  await client.authenticate(key, secret);
  say({ summary: await client.request('private/get_account_summary', { currency: 'BTC' }) });
  say({ instrument: await client.request('public/get_instrument', { instrument_name: 'BTC-PERPETUAL' }) });
  const heard = channels.map(channel => new Promise(resolve => {
    const first = data => {
      say({ channel, data });
      resolve();
    };
    client.subscribe(channel.startsWith('user.') ? 'private' : 'public', channel, first);
  }));
  await client.request('private/buy', { instrument_name: 'BTC-PERPETUAL', amount: 10, type: 'market' });
  await Promise.all(heard);
  process.exit(0);
};

main();
