// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFairValue} from "../../contracts/interfaces/IFairValue.sol";
import {PoolMath} from "../../contracts/libraries/PoolMath.sol";
import {ValueMath} from "../../contracts/libraries/ValueMath.sol";
import {PlainToken} from "./utils/Mocks.sol";
import {Test} from "./utils/Test.sol";

/// @notice Seeded cases whose results are folded into one digest; tests/vectors/math.json holds the digests that an
/// independent implementation in Rust (verifier, `differential`) came to from the same seeds.
/// @dev A draw is keccak256 of the one before. A digest is keccak256(digest before, results of the case), from zero.
contract DifferentialTest is Test {
    uint256 private _state;
    bytes32 private _digest;

    function _begin(string memory seed) private {
        (_state, _digest) = (uint256(keccak256(bytes(seed))), 0);
    }

    function _draw() private returns (uint256) {
        _state = uint256(keccak256(abi.encode(_state)));
        return _state;
    }

    /// @dev Of up to `bits` bits, small ones as often as large ones.
    function _wide(uint256 bits) private returns (uint256) {
        uint256 size = _draw() % bits + 1;
        return _draw() % (1 << size);
    }

    function _check(string memory key) private view {
        assertEq(_digest, vm.parseJsonBytes32(vm.readFile("tests/vectors/math.json"), key), key);
    }

    function test_poolIntegralEqualsTheOther() public {
        _begin("pool");
        for (uint256 i = 0; i < 10_000; ++i) {
            _poolCase();
        }
        _check(".pool");
    }

    function _poolCase() private {
        uint256 fee = _draw() % 500_000;
        uint256 skew = _draw() % (1_000_000 - fee);
        uint256 askSkew = _draw() % (fee + 1);
        uint256 max = _wide(96) + 1;
        if (max >= 1 << 96) max = (1 << 96) - 1;
        uint256 base = _wide(104);
        uint256 held = _draw() % max;
        uint256 units = _draw() % (max - held) + 1;
        uint256 got = PoolMath.sell_floor(base, units, held, max, fee, skew);
        uint256 few = PoolMath.affordable_floor(base, _wide(96), held, max, fee, skew);
        held = _wide(96);
        if (held == 0) held = 1;
        uint256 paid = PoolMath.buy_ceil(base, _draw() % held + 1, held, max, fee, askSkew);
        _digest = keccak256(abi.encode(_digest, got, few, paid));
    }

    function test_fairValueEqualsTheOther() public {
        _begin("value");
        for (uint256 i = 0; i < 10_000; ++i) {
            _valueCase();
        }
        _check(".value");
    }

    function _valueCase() private {
        IFairValue.Params memory p = IFairValue.Params({
            initialValue: uint128(_wide(96)),
            scrapPpm: uint32(_draw() % 1_000_001),
            decayPpm: uint32(_draw() % 1_000_001),
            discountPpm: uint32(_wide(20) % 1_000_001),
            lifeEpochs: uint32(_wide(16) % 50_001)
        });
        uint256 h = ValueMath.schedule(p, _wide(30));
        uint256 q = ValueMath.hardware_floor(_wide(120), _wide(64), _wide(63) + 1);
        uint256 d = ValueMath.discounted(p, _wide(112), _wide(64));
        uint256 raw = ValueMath.combine(h, q, d);
        _digest = keccak256(abi.encode(_digest, h, q, d, raw));
    }

    function test_weightsEqualTheOther() public {
        _begin("twab");
        for (uint256 i = 0; i < 40; ++i) {
            _weightCase();
        }
        _check(".twab");
    }

    /// @dev Five accounts, 50 moves some of which are further apart than the ring, then all weights in reach.
    function _weightCase() private {
        PlainToken token = new PlainToken(address(this));
        vm.warp(100_000 * EPOCH + _draw() % EPOCH);
        for (uint256 i = 0; i < 5; ++i) {
            token.mint(actor(i), _wide(90));
        }
        for (uint256 i = 0; i < 50; ++i) {
            uint256 longest = _draw() % 10 == 0 ? 40 * EPOCH : EPOCH;
            skip(_draw() % longest);
            (uint256 from, uint256 to) = (_draw() % 5, _draw() % 5);
            uint256 amount = _draw() % (token.balanceOf(actor(from)) + 1);
            vm.prank(actor(from));
            token.transfer(actor(to), amount);
        }
        for (uint32 e = epochNow() - 31; e < epochNow(); ++e) {
            for (uint256 i = 0; i < 5; ++i) {
                _digest = keccak256(abi.encode(_digest, token.balanceSeconds(actor(i), e)));
            }
        }
    }
}
