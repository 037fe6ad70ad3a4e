"""The sequences of OTB2013, TB50 and TB100, by the names of their folders."""

_OTB2013 = """
Basketball Bolt Boy Car4 CarDark CarScale Coke Couple Crossing David David2 David3 Deer Dog1 Doll Dudek FaceOcc1 FaceOcc2
Fish FleetFace Football Football1 Freeman1 Freeman3 Freeman4 Girl Ironman Jogging Jumping Lemming Liquor Matrix Mhyang
MotorRolling MountainBike Shaking Singer1 Singer2 Skating1 Skiing Soccer Subway Suv Sylvester Tiger1 Tiger2 Trellis
Walking Walking2 Woman
"""
_TB50 = """
Basketball Biker Bird1 BlurBody BlurCar2 BlurFace BlurOwl Bolt Box Car1 Car4 CarDark CarScale ClifBar Couple Crowds David
Deer Diving DragonBaby Dudek Football Freeman4 Girl Human3 Human4 Human6 Human9 Ironman Jump Jumping Liquor Matrix
MotorRolling Panda RedTeam Shaking Singer2 Skating1 Skating2 Skiing Soccer Surfer Sylvester Tiger2 Trellis Walking Walking2
Woman
"""
_TB100_ONLY = """
Bird2 BlurCar1 BlurCar3 BlurCar4 Board Bolt2 Boy Car2 Car24 Coke Coupon Crossing Dancer Dancer2 David2 David3 Dog Dog1 Doll
FaceOcc1 FaceOcc2 Fish FleetFace Football1 Freeman1 Freeman3 Girl2 Gym Human2 Human5 Human7 Human8 Jogging KiteSurf Lemming
Man Mhyang MountainBike Rubik Singer1 Skater Skater2 Subway Suv Tiger1 Toy Trans Twinnings Vase
"""

SUBSETS: dict[str, tuple[str, ...]] = {
    "OTB2013": tuple(_OTB2013.split()),
    "TB50": tuple(_TB50.split()),
    "TB100": tuple(sorted([*_TB50.split(), *_TB100_ONLY.split()])),
}
SUBSETS["OTB2015"] = SUBSETS["TB100"]
