// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IHashProof
/// @notice Shows SHA-256 work of a fleet from its own shares, to anyone, without a pool's or an oracle's word.
///
/// Per fleet and epoch the `k` lowest header hashes that the fleet found are shown. Hashes are uniform, so if the k-th
/// lowest is h, `(k - 1) * 2^256 / h` is an unbiased estimate of how many were computed; its relative standard error is
/// `1 / sqrt(k - 2)`: 27 % for k = 16, below 6 % over 21 epochs. Hiding shares can only lower it.
///
/// Every share carries the fleet's tag of the epoch in its coinbase's input script:
/// `keccak256(abi.encode(chainId, fleetId, epoch, seed))[0..4]`, seed being the hash of the epoch's first EVM block. What
/// was hashed before that block carries another tag, and so does what another miner of the same pool hashed.
///
/// A share is these bytes, packed (the parts that are the same in every coinbase, and the Merkle root, which follows
/// from the rest, are not sent: this contract writes them itself, so nothing else can stand in their place):
/// ```
/// version:4  previous:32  time:4  bits:4  nonce:4        the header without its Merkle root
/// tagAt:1                                                where the tag starts in the input script
/// depth:1  depth * sibling:32                            Merkle branch of transaction 0, deepest sibling first
/// version:4  length:1  script:length  rest               the coinbase without witness and without its
///                                                        `01 00..00 ffffffff` (one input that spends nothing)
/// ```
/// header and coinbase fields in the byte order of the wire.
///
/// @dev Warning: what a proof does not show.
/// - Ownership. Whoever lets the tag into the script consented; the machines may be rented.
/// - That the work paid. The header may build on any block; compare with what pools acknowledged.
/// - Which chain was mined; on purpose: BTC and BCH shares count alike.
/// - That nobody else claims the same work: a script has room for the tags of several fleets. Who adds up fleets must
///   compare their shares. It also has room for the tags of two epochs, so claims of an epoch end `WINDOW` seconds
///   after it: by hashing under two tags in that window a fleet can claim at most WINDOW / EPOCH = 25 % too much.
/// - Anything against the producer of the epoch's first EVM block: it could try 2^32 blocks until the tag is one that
///   stands in foreign scripts anyway. A fleet is registered an epoch ahead, so that nobody else can choose its tag.
interface IHashProof {
    /// @notice What a fleet has proven of an epoch. One word:
    /// ```
    /// 255        136 135         96 95            0
    /// |   unused    | provenAt:40  |  hashes:96   |
    /// ```
    struct Claim {
        /// estimated hashes, rounded down
        uint96 hashes;
        /// time of the proof, unix seconds
        uint40 provenAt;
    }

    /// @notice k must be 3 to 255: below 3 the estimate has no standard error.
    error BadCount(uint256 k);
    /// @notice Not the header of a block with a parent in an earlier epoch.
    error NotFirstOfEpoch(uint256 timeBefore, uint256 time);
    /// @notice The second header is not the parent of the first.
    error NotParent(bytes32 stated, bytes32 found);
    /// @notice This chain does not know that block: it is not of this chain, or older than 256 blocks (8,191 where the
    /// EIP-2935 contract is). An epoch that nobody opened in time has no proof, for ever.
    error UnknownBlock(uint256 number, bytes32 hash);
    error BadHeader();
    /// @notice Nobody has opened that epoch.
    error NotOpen(uint32 epoch);
    /// @notice The fleet was not registered before that epoch.
    error NotRegistered(bytes32 fleetId, uint32 epoch, uint32 since);
    /// @notice Proofs of an epoch are taken until `deadline`.
    error TooLate(uint256 deadline);
    /// @notice Exactly k shares: who could choose k would choose the luckiest.
    error WrongCount(uint256 expected, uint256 found);
    error BadShare(uint256 index);
    /// @notice The tag would lie outside the coinbase's input script.
    error TagOutsideScript(uint256 index);
    error WrongTag(uint256 index, bytes4 expected, bytes4 found);
    /// @notice A transaction of 64 bytes could be an inner node of a Merkle tree.
    error SixtyFourBytes(uint256 index);
    /// @notice Hashes must ascend strictly: so no share counts twice.
    error NotAscending(uint256 index);
    /// @notice The highest hash is above the bound: shares between the two may be missing.
    error AboveBound(uint256 highest, uint256 bound);
    /// @notice As much or more is proven already.
    error NotMore(uint256 proven, uint256 found);

    event FleetRegistered(bytes32 indexed fleetId, uint32 since);
    event EpochOpened(uint32 indexed epoch, bytes32 seed, uint256 number);
    event Proven(
        bytes32 indexed fleetId, uint32 indexed epoch, uint256 hashes, uint256 highest, uint256 bound, address prover
    );

    /// @notice Makes a fleet id count from the next epoch. Anyone may; it gives no right, and a second time changes nothing.
    /// @dev Ahead, because an id chosen after the seed is known could be chosen so that its tag stands in foreign shares.
    function register(bytes32 fleetId) external;

    /// @notice Stores the hash of the first block of an epoch. Anyone may; a second time changes nothing.
    /// @param parent RLP of the header of the block before it, which is of an earlier epoch
    /// @param first RLP of the header of that block
    function openEpoch(bytes calldata parent, bytes calldata first) external;

    /// @notice Claims an epoch's work for a fleet. Anyone may; a claim is replaced by one of more hashes.
    /// @param bound smallest share target that any machine was given, as the prover declares it: above it shares may be
    /// missing, so the highest hash must not be. It is not in the estimate: a false one gains nothing.
    /// @param shares k of them as above, their hashes strictly ascending
    function prove(bytes32 fleetId, uint32 epoch, uint256 bound, bytes[] calldata shares) external;

    /// @notice Shares in a proof.
    function k() external view returns (uint256);

    /// @notice Hash of the first block of an epoch; zero while nobody has opened it.
    function seedOf(uint32 epoch) external view returns (bytes32);

    /// @notice First epoch that counts for a fleet; zero if it is not registered.
    function since(bytes32 fleetId) external view returns (uint32);

    /// @notice The bytes that a fleet's shares of an epoch carry. Reverts while the epoch is not open.
    function tagOf(bytes32 fleetId, uint32 epoch) external view returns (bytes4);

    /// @notice What is proven; zeros if nothing is.
    function claimOf(bytes32 fleetId, uint32 epoch) external view returns (Claim memory);

    /// @notice Claims of `count` epochs up to `last` together: claims are to be read over 21 epochs.
    /// @return hashes their sum
    /// @return proven how many of these epochs have a claim
    /// @return errorPpm relative standard error of the sum in millionths, rounded down; zero with no claim
    function claimedOver(bytes32 fleetId, uint32 last, uint32 count)
        external
        view
        returns (uint256 hashes, uint256 proven, uint256 errorPpm);

    /// @notice floor((k - 1) * 2^256 / highest); at most 2^96 - 1.
    function estimate(uint256 highest) external view returns (uint96);

    /// @notice The header hash of a share as a number, after every check of `prove` that concerns a share alone.
    function hashOf(bytes calldata share, bytes4 tag) external view returns (uint256);
}
