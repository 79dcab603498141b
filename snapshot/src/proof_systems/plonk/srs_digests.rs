//! The digests of the reference strings. Everyone who generates one gets the same bytes.
//!
//! Invariant: each digest is the SHA-256 of what `Params::write` of halo2 writes; a test generates the strings.

use crate::Digest;
use snapback_guest_plonk::{K_MAX, PastaPrime};

/// For 2^0, 2^1 and more rows, of circuits over Pallas.
const PALLAS: [&str; K_MAX as usize + 1] = [
    "a8175aeddfed28f7563194531199545b559fa9a07c119caee57fb5416aed7f34",
    "5f154f1e7de63390ff038c01f7ba8d41980fe43fb37a16a9880a4d6949faec03",
    "91a6d514d942b065f9ec98af3fbd331b27738e7b8b931fc63c99548ffcacb15c",
    "0bd0df6b76a96eb97bf1de8d1ceb133dc1eb09560532f2874821e0520059e79b",
    "5c0b8093a964af7191df4749a7310c00140ebc9977b118debe5715fda30efa7f",
    "106977185e775dffe917fe065308d3469d747e79617911bfb7d3f78e2bcb552c",
    "606ec71853588ea2414707e98ffb181091f6985d294d03d4165fb400a9a6b3a6",
    "432e492288c43ccabdffb913625109ca76f66312cd4625c9a258a2e33a28c400",
    "96d2448c483f4df37e69b4f72db328cd8520b09d49f5e7c801da7994150b9b33",
    "b7ea13dd3cfe5db384fab28fd90c4ca7327fb20d3fde16c12eb8b3f81538cb62",
    "65235f086265cdf98b12514ab36fe9b849198870918d73cd160903ceb0a954dc",
    "1eab6f93a080ce41b908d935c04bd2e3ed1ac23f277c15d11c499d56d28fa0f7",
    "1b97b06da453b9efb1ae18b9ba77c3d870f22dc72898297d5707e340c3f44865",
    "76ebe6b75b5281cb1dcc2eb04888968573758672b521522f62abedf6366bb876",
    "1cb278fe4d9cf5325e5cbc710d863c0deca3e961e1b8f6c8736890c43345c461",
    "e1fb29749c7bd0870768044d5329b4e293cb2d44dae24db2554605427b19d0dd",
    "174780f80c577d968d10bc3f0a8f819e55a96b9e882ffe73c15d55e9f94053e2",
    "7c65b8e3d12f2c1054f07c2721da8670d97f0f14c846df6bcf4d390dd62cbceb",
    "50645fa7a51508a3fe9e34b5b34ee31bfe6a19891364b682d801b3ca265afe33",
];

/// The same for circuits over Vesta.
const VESTA: [&str; K_MAX as usize + 1] = [
    "c092a29289448d88b20fa79b55e653de6353254316cd676e613e172730c2ae9e",
    "39f988690976928ca024e703f670a78cd493e797aadc034756c4726f04daa7ec",
    "d8880eac8d6714dbbb6f5c342067e3306e6938b6b71fad874f6430bb80489e1d",
    "6983c94f529842fef70117753bde985b60f69e18353e3bcd6d64bdf6534c3e71",
    "49708ed23c310f1c97fae59d99dd7d7eaec88f2f4f077610ce3dda92ad0d0707",
    "4d0841527d3ff9b49ce6153351988ff961ddc39e76153b1439461cc8682e97ef",
    "81ecfc65612a3e22f46adcd8775b547b476671a5e17e98e53081408d5c9c7aa7",
    "f999cf187832b2fe6c54e68656bcedc92d0902ab42fa279f5c845f31338c5ecf",
    "6e3c9ff565425ebea04de329b34fb3bb6061a3d43417706448ab00e8e3efb602",
    "30c2a8e1a423467b96a586ee97f2e6b04d6cc95de1d0dab4f233a9ddad3d0c51",
    "422e1701e538cf2c50fa2f7489c30d73477d5700d8da6ff73f75c2a7aedf04e4",
    "56ec863de1374a91a99e53b247ec804c4ea7888400df9f23add747e227000a6a",
    "4b20d41b76f4249829f16b08b1df0a8d6cc8897fa4394b74681b51332f4039b6",
    "345da39c48ee9d86cc74c9610536ff007bd8b611d801d00598dd3b90c22149d4",
    "2527d71bdb1d374a1b5cc29cf73f7849a87bce5e24c0d1bda0b284f12bf570c4",
    "0e177a0c9bcf63020c884269dbc3db8a27e583394f1ac65383e7fb2ed45df687",
    "2eb6e09a8f0dfdd18df0ec2ad5186d900acd5374eac817bdbb72f0f51b694628",
    "a0f674c869a3bae279c52434ca83e7dc6dd4a8c66d167c2d5f4ada768830d31d",
    "e29113a93c5dbcabc42b58ef2d1f1ba300694cb696ac9e97b6aa5b513971bda7",
];

/// Returns the digest of the reference string for 2^k rows. `k` is at most [`K_MAX`].
pub(super) fn of(prime: PastaPrime, k: u32) -> Digest {
    let digests = match prime {
        PastaPrime::Pallas => &PALLAS,
        PastaPrime::Vesta => &VESTA,
    };
    digests[k as usize].parse().expect("64 hexadecimal digits")
}
