"""The coins of the simulated exchange and its price indices, as plain values.

The lists of names are made of coins and quote currencies: the real exchange names indices by that rule.
"""

from dataclasses import dataclass

__all__ = ["COINS", "INDICES", "Coin", "SimulatedIndex", "supported"]


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin, a share or a commodity; ``base`` is the price in dollars around which its random walk moves."""

    name: str
    base: float
    decimals: int
    volatility: float


@dataclass(frozen=True, slots=True)
class SimulatedIndex:
    """A price index: the price of a coin times a ratio, in the quote currency."""

    name: str
    coin: Coin
    ratio: float
    decimals: int


#: Coins with indices in USD, USDC and USDT.
_MAJORS = """btc 83000 eth 2670 sol 142 xrp 2.2 ada 0.55 algo 0.21 avax 18.5 bch 415 bnb 610 doge 0.17 dot 4.1 hype 31
link 14.2 ltc 88 matic 0.38 near 2.6 paxg 3950 shib 0.0000132 steth 2668 ton 3.1 trump 9.2 trx 0.27 uni 6.4"""

#: Coins with indices in USD and USDC.
_OTHERS = """aave 190 aero 0.9 apt 4.4 arb 0.31 atom 3.9 axs 2.1 bera 1.8 bome 0.0016 brett 0.04 buidl 1 cfx 0.15
crv 0.62 dydx 0.55 eigen 1.1 ena 0.41 etc 17 ethfi 1.2 fet 0.52 fil 2 hbar 0.17 icp 4.3 inj 9.6 jto 1.1 jup 0.4 ldo 0.9
mog 0.0000009 morpho 1.6 ondo 0.81 op 0.62 pendle 3.4 pengu 0.021 pepe 0.0000071 bonk 0.000014 pnut 0.16 pump 0.0044
pyth 0.11 render 2.6 rune 1.1 s 0.24 sei 0.2 strk 0.13 sui 2.5 tao 370 tia 1.3 usyc 1.1 wif 0.55 wld 0.85 xlm 0.27
xmr 340 xpl 0.4 zec 310 zora 0.06"""

#: Shares and commodities, with indices in USDC alone (2026).
_SECURITIES = """aapl 270 amd 240 amzn 230 baba 165 brentoil 64 coin 330 copper 5 crcl 130 gold 4100 googl 290 hood 130
intc 38 meta 640 msft 510 mstr 250 mu 240 natgas 4 nflx 1100 nvda 190 orcl 240 palladium 1400 platinum 1550 pltr 180
qqq 610 silver 50 spy 670 tsla 430 wtioil 60"""

#: Coins whose unit is so small that the index names a thousand of them.
_SMALL = ("bonk", "mog", "pepe", "shib")

_STABLE = (
    Coin("usde", 1.0, 4, 0.0005),
    Coin("usdc", 1.0, 4, 0.0002),
    Coin("usdt", 1.0, 4, 0.0003),
    Coin("eurr", 1.16, 4, 0.004),
    Coin("eur", 1.16, 4, 0.004),
    Coin("usd", 1.0, 4, 0.0),
    Coin("ethw", 1.4, 4, 0.05),
)

#: The volatility indices, in percent points. The size of the moves keeps them between 30 and 90 for ever.
VOLATILITIES = (Coin("btcdvol", 45.0, 2, 0.03), Coin("ethdvol", 58.0, 2, 0.03))

#: What moves less, or more, than other coins over a day.
_MOVES = {"btc": 0.024, "eth": 0.034, "steth": 0.034, "bnb": 0.03, "trx": 0.03, "paxg": 0.01, "trump": 0.07}
_MOVES |= {"buidl": 0.0001, "usyc": 0.0001}

#: Prices of one coin in another.
_PAIRS = "eth_btc sol_eth paxg_btc eth_paxg steth_eth eth_steth eth_matic btc_eurr eth_eurr btc_usde eth_usde btc_usyc"
_PAIRS += " eth_usyc eth_buidl usdc_eur usdt_eur eur_usdc eur_usdt eurr_usd eurr_usdc eurr_usdt usde_usd usde_usdc"
_PAIRS += " usde_usdt usdc_usd usdc_usdt usdt_usd usdt_usdc usd_usdc usd_usdt ethw_usd"

#: What a coin costs in the currencies whose prices differ a little from the dollar.
_RATIOS = {"usd": 1.0, "usdc": 1.0001, "usdt": 0.9997}


def _decimals(price: float) -> int:
    """Decimals that leave about six digits of a price."""
    return next((digits for digits, least in ((2, 300), (4, 0.3), (5, 0.1)) if price >= least), 10)


def _listed(table: str, volatility: float) -> list[Coin]:
    words = table.split()
    prices = zip(words[::2], map(float, words[1::2]), strict=True)
    return [Coin(name, price, _decimals(price), _MOVES.get(name, volatility)) for name, price in prices]


_MAJOR, _OTHER, _SECURITY = _listed(_MAJORS, 0.045), _listed(_OTHERS, 0.05), _listed(_SECURITIES, 0.015)

COINS = {coin.name: coin for coin in (*_MAJOR, *_OTHER, *_SECURITY, *_STABLE)}


def _indices() -> dict[str, SimulatedIndex]:
    found = [_quoted(coin, quote) for coin in _MAJOR for quote in ("usd", "usdc", "usdt")]
    found += [_quoted(coin, quote) for coin in _OTHER for quote in ("usd", "usdc")]
    found += [_quoted(coin, "usdc") for coin in _SECURITY]
    found += [SimulatedIndex(f"1000{name}_{q}", COINS[name], 1000.0, 6) for name in _SMALL for q in ("usd", "usdc")]
    found += [SimulatedIndex(f"drbfix-{name}_usdc", COINS[name], 1.0001, 2) for name in ("btc", "eth")]
    found += [_pair(*pair.split("_")) for pair in _PAIRS.split()]
    found += [SimulatedIndex(f"{volatility.name}_usdc", volatility, 1.0, 2) for volatility in VOLATILITIES]
    return {index.name: index for index in found}


def _quoted(coin: Coin, quote: str) -> SimulatedIndex:
    return SimulatedIndex(f"{coin.name}_{quote}", coin, _RATIOS[quote], coin.decimals)


def _pair(base: str, quote: str) -> SimulatedIndex:
    coin, unit = COINS[base], COINS[quote].base if quote in COINS else 1.0
    return SimulatedIndex(f"{base}_{quote}", coin, _RATIOS.get(quote, 1 / unit), max(2, _decimals(coin.base / unit)))


INDICES = _indices()


def supported(index: SimulatedIndex) -> bool:
    """Whether get_supported_index_names has the index: hardly any in dollars (2026), unlike get_index_price_names."""
    return not index.name.endswith("_usd") or index.name in ("btc_usd", "eth_usd")
